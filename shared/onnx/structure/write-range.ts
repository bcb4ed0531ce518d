/**
 * Sub-models: any layer range [from, to) as a small ONNX file whose weights stay where they are.
 *
 * A canonical file is decoded once; then a range is mostly a selection of parts that are encoded already. The file
 * must lie in the model's folder, because external data is found relative to it.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { TensorSpec } from '../../contracts/common.ts'
import type { Structure } from '../../contracts/model.ts'
import { ScissionError } from '../../platform/errors.ts'
import { encodeNode, encodeSparse, encodeTensor, frameOf } from '../canonical/encode-graph.ts'
import { OPEN_KEY, PRELUDE_KEY, readStructure, structurePathOf } from '../canonical/canonical-file.ts'
import { elementTypeOfDatatype } from '../wire/element-types.ts'
import { isExternal, referenceOf } from '../wire/external-data.ts'
import { assemble, encodeValue, type ModelFrame } from '../wire/model-writer.ts'
import { ModelProtoSchema, type NodeProto, type TensorProto, ValueInfoProtoSchema } from '../proto/onnx_pb.ts'
import { bodyTensors, usesOf } from '../canonical/scope.ts'
import { tensorBytes } from '../wire/tensor-data.ts'

/** Bytes of a file in the model's folder. */
export interface WeightExtent {
  /** Relative to the model's folder. */
  path: string
  offset: number
  length: number
}

export interface RangeFile {
  from: number
  to: number
  /** All tensors of boundary `from`, in its order. */
  inputs: TensorSpec[]
  /** All tensors of boundary `to`, in its order. */
  outputs: TensorSpec[]
  /** Those of `inputs` that the sub-model takes. */
  modelInputs: string[]
  /** Those of `outputs` that the sub-model makes. */
  modelOutputs: string[]
  /** Those of `outputs` that are also inputs: they go past the sub-model. */
  passThrough: string[]
  /** The file that was written; null when the range has no layer. */
  onnx: { path: string; bytes: number; sha256: string } | null
  /** The bytes that the sub-model's weights point at, merged and sorted by path and offset. */
  extents: WeightExtent[]
}

/** What nodes need besides their tensors, worked out once per node. */
interface Part {
  bytes: Uint8Array
  uses: ReadonlySet<string>
  outputs: readonly string[]
  /** References inside control-flow bodies. */
  extents: readonly WeightExtent[]
}

/** A canonical file held open (in memory: the file itself is closed) to write ranges of it. */
export interface CanonicalModel {
  dir: string
  structure: Structure
  prelude: readonly Part[]
  layers: readonly Part[]
  frame: ModelFrame
  constants: ReadonlyMap<string, { bytes: Uint8Array; extents: readonly WeightExtent[] }>
  sparse: ReadonlyMap<string, Uint8Array>
  specs: ReadonlyMap<string, TensorSpec>
  /** Graph inputs as sessions must see them, where that is not their fixed shape (see `Graph.fixed`). */
  open: ReadonlyMap<string, Uint8Array> | undefined
}

/** Decodes `<dir>/<shapesKey>.canonical.onnx` and the structure beside it. */
export async function openCanonical(file: string): Promise<CanonicalModel> {
  const structure = readStructure(structurePathOf(file))
  // Whole, not its skeleton: it is small, and what it holds itself (folded constants) must go along into the ranges.
  const model = fromBinary(ModelProtoSchema, await readFile(file))
  const graph = model.graph
  if (!graph) throw new ScissionError('internal', `"${file}" holds no graph`)
  const preludeCount = Number(model.metadataProps.find(({ key }) => key === PRELUDE_KEY)?.value ?? 0)
  const parts = graph.node.map(partOf)
  const specs = [...structure.inputs, ...structure.layers.flatMap((layer) => layer.outputs)]
  return {
    dir: path.dirname(file),
    structure,
    prelude: parts.slice(0, preludeCount),
    layers: parts.slice(preludeCount),
    frame: frameOf({ irVersion: model.irVersion, opsets: model.opsetImport, functions: model.functions }),
    constants: new Map(
      graph.initializer.map((tensor) => [
        tensor.name,
        { bytes: encodeTensor(tensor), extents: extentsOf(tensor) },
      ]),
    ),
    sparse: new Map(
      graph.sparseInitializer.map((tensor) => [tensor.values?.name ?? '', encodeSparse(tensor)]),
    ),
    specs: new Map(specs.map((spec) => [spec.name, spec])),
    open: model.metadataProps.some(({ key }) => key === OPEN_KEY)
      ? new Map(graph.input.map((input) => [input.name, toBinary(ValueInfoProtoSchema, input)]))
      : undefined,
  }
}

function partOf(node: NodeProto): Part {
  return {
    bytes: encodeNode(node),
    uses: usesOf(node),
    outputs: node.output.filter(Boolean),
    extents: bodyTensors(node).flatMap(extentsOf),
  }
}

function extentsOf(tensor: TensorProto): WeightExtent[] {
  if (!isExternal(tensor)) return []
  const { location, offset, length = tensorBytes(tensor) } = referenceOf(tensor)
  return [{ path: location, offset, length }]
}

/**
 * Writes layers `from`..`to`-1 as a model of their own.
 *
 * @param file where to write it: in the model's folder.
 * @throws ScissionError invalidRange when the range is out of bounds or out of order.
 */
export async function writeRange(
  canonical: CanonicalModel,
  from: number,
  to: number,
  file: string,
): Promise<RangeFile> {
  const { structure, dir } = canonical
  checkRange(structure, from, to)
  if (path.resolve(path.dirname(file)) !== path.resolve(dir))
    throw new ScissionError('internal', `a range must be written into the model's folder "${dir}"`)
  const inputs = frontierOf(canonical, from)
  const outputs = frontierOf(canonical, to)
  const layers = canonical.layers.slice(from, to)
  const made = new Set(layers.flatMap((layer) => layer.outputs))
  const needed = new Set(layers.flatMap((layer) => [...layer.uses]))
  const modelInputs = inputs.filter((spec) => needed.has(spec.name))
  const modelOutputs = outputs.filter((spec) => made.has(spec.name))
  const passThrough = outputs.filter((spec) => !made.has(spec.name)).map((spec) => spec.name)
  const range = {
    from,
    to,
    inputs,
    outputs,
    modelInputs: modelInputs.map((spec) => spec.name),
    modelOutputs: modelOutputs.map((spec) => spec.name),
    passThrough,
  }
  if (layers.length === 0) return { ...range, onnx: null, extents: [] }
  const prelude = preludeFor(canonical, needed)
  const constants = [...canonical.constants]
    .filter(([name]) => needed.has(name))
    .map(([, constant]) => constant)
  const content = assemble(canonical.frame, `layers ${from} to ${to}`, {
    nodes: [...prelude, ...layers].map((part) => part.bytes),
    initializers: constants.map((constant) => constant.bytes),
    sparse: [...canonical.sparse].filter(([name]) => needed.has(name)).map(([, bytes]) => bytes),
    inputs: modelInputs.map((spec) => encodeSpec(canonical, spec)),
    outputs: modelOutputs.map((spec) => encodeSpec(canonical, spec)),
  })
  // Synchronously: a file of some kilobytes is written before a promise about it would be settled.
  fs.writeFileSync(file, content)
  const sha256 = createHash('sha256').update(content).digest('hex')
  const extents = [...prelude, ...layers, ...constants].flatMap((part) => part.extents)
  return { ...range, onnx: { path: file, bytes: content.length, sha256 }, extents: mergeExtents(extents) }
}

/** @throws ScissionError invalidRange naming the number of layers. */
export function checkRange(structure: Structure, from: number, to: number): void {
  const count = structure.layers.length
  if (Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= count) return
  throw new ScissionError(
    'invalidRange',
    `the layer range ${from}-${to} does not exist: the model has ${count} layers, so 0 ≤ from ≤ to ≤ ${count}`,
    { from, to, layers: count },
  )
}

function frontierOf({ structure, specs }: CanonicalModel, k: number): TensorSpec[] {
  return (structure.boundaries[k]?.tensors ?? []).flatMap((name) => specs.get(name) ?? [])
}

/** The prelude nodes behind `needed`, which grows by what they need themselves. */
function preludeFor({ prelude }: CanonicalModel, needed: Set<string>): Part[] {
  const used: Part[] = []
  for (const part of prelude.toReversed()) {
    if (!part.outputs.some((output) => needed.has(output))) continue
    used.unshift(part)
    for (const name of part.uses) needed.add(name)
  }
  return used
}

function encodeSpec({ open }: CanonicalModel, spec: TensorSpec): Uint8Array {
  const code = elementTypeOfDatatype(spec.datatype)?.code ?? 0
  const shape = open ? spec.shape.map(() => -1) : spec.shape
  return open?.get(spec.name) ?? encodeValue({ name: spec.name, code, shape })
}

/** Overlapping and touching extents become one. */
export function mergeExtents(extents: readonly WeightExtent[]): WeightExtent[] {
  const sorted = extents
    .filter((extent) => extent.length > 0)
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.offset - b.offset))
  const merged: WeightExtent[] = []
  for (const extent of sorted) {
    const last = merged.at(-1)
    if (last && last.path === extent.path && extent.offset <= last.offset + last.length)
      last.length = Math.max(last.length, extent.offset + extent.length - last.offset)
    else merged.push({ ...extent })
  }
  return merged
}
