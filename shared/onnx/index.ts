/**
 * Reads, canonicalises and cuts ONNX models. Files in, files and plain values out: no HTTP, no Redis. Folders depend on
 * those below them only:
 *
 *   structure/      analyse.ts: all steps for one model → <shapesKey>.canonical.onnx + <shapesKey>.structure.json;
 *                   analyse-child.ts: the same in a throw-away process, for services; describe-model.ts: what an upload
 *                   needs; layers, boundaries and fusions; encode-range.ts and write-range.ts: layers [from, to) as a
 *                   sub-model whose weights refer to the original
 *   trial/          one run of the whole model: what made-up values must keep, found in the uses of the inputs (find-hints.ts)
 *                   and by trying (trial-search.ts)
 *   canonical/      from a file to its canonical graph: checks, fixed input shapes, inferred shapes, folded constants,
 *                   hidden sequences and types that cannot be sent, inlined branches
 *   sample-inputs/  a model's samples and made-up inputs; not exported here, so that a service that only serves does not load all the rest
 *   runtime/        the only calls to ONNX Runtime, and conversion of tensors
 *   wire/           protobuf without decoding: structure without weights (skeleton.ts), payloads, external data, the
 *                   writer of models; element types
 *   proto/          generated from onnx.proto
 */
export { analyse, type AnalyseRequest } from './structure/analyse.ts'
export { analyseInChild } from './structure/analyse-child.ts'
export { canonicalPaths } from './canonical/canonical-file.ts'
export { hasOpenDimensions, resolveInputShapes } from './canonical/declared-tensors.ts'
export { describeModel, type ModelDescription } from './structure/describe-model.ts'
export {
  type CanonicalModel,
  checkRange,
  type WeightExtent,
  openCanonical,
  writeRange,
} from './structure/write-range.ts'
export { openShapesKeyOf, shapesKeyOf } from './canonical/shapes-key.ts'
export { readSkeleton } from './wire/skeleton.ts'
export type { StructureLimits } from './wire/structure-limits.ts'
