/**
 * Reads, canonicalises and cuts ONNX models. Files in, files and plain values out: no HTTP, no Redis.
 *
 * How the pieces fit, in the order in which a model meets them:
 *
 *   skeleton.ts        the file's structure without its weights (wire.ts, message-layout.ts: the protobuf walk)
 *   check.ts           names, scopes, tensors, cycles; external-data.ts: what a reference may point at
 *   graph.ts           the working form; declared.ts fixes the open input dimensions
 *   sequences.ts       values that cannot be sent are hidden inside layers; inline-if.ts: settled branches
 *   canonicalise.ts    infer.ts (shapes from ONNX Runtime) and fold.ts (constants), in turns until nothing changes
 *   trial.ts           one run with made-up inputs (inputs.ts, hints.ts): does it run, what do unknown shapes become
 *   layers.ts          names, sizes, weights, macs.ts
 *   boundaries.ts      what crosses where; fusion.ts asks ONNX Runtime which layers it would run as one
 *   analyse.ts         all of the above for one model → <shapesKey>.canonical.onnx + <shapesKey>.structure.json
 *   analyse-child.ts   the same in a throw-away process: this is what services call
 *   range.ts           layers [from, to) as a sub-model whose weights point into the original
 *
 * Only runtime.ts calls ONNX Runtime; assemble.ts writes every model that it is given.
 */
export { analyse, type AnalyseRequest } from './structure/analyse.ts'
export { analyseInChild, type AnalyseInChildOptions } from './structure/analyse-child.ts'
export { canonicalPaths, readStructure } from './canonical/canonical-file.ts'
export { resolveInputShapes } from './canonical/declared-tensors.ts'
export { describeModel, type ModelDescription } from './structure/describe-model.ts'
export { makeInputs } from './sample-inputs/sample-inputs.ts'
export {
  type CanonicalModel,
  checkRange,
  type WeightExtent,
  openCanonical,
  type RangeFile,
  writeRange,
} from './structure/write-range.ts'
export { shapesKeyOf } from './canonical/shapes-key.ts'
export { readSkeleton } from './wire/skeleton.ts'
