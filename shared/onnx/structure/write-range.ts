/**
 * Writes any layer range [from, to) as a small ONNX file whose weights stay in the original's files.
 *
 * A canonical file is split once; a range is then a selection of its encoded parts (encode-range.ts). The file must be in
 * the model's folder, because external data is relative to it.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { TensorSpec } from '../../contracts/common.ts'
import type { Structure } from '../../contracts/model.ts'
import type { RangeManifest } from '../../contracts/range-manifest.ts'
import { ScissionError } from '../../platform/errors.ts'
import { OPEN_KEY, PRELUDE_KEY, readStructure, structurePathOf } from '../canonical/canonical-file.ts'
import { externalExtents } from '../wire/external-extents.ts'
import { encodeRange, type EncodedModel, type EncodedPart, valueEncoder } from './encode-range.ts'
import { GRAPH, type ModelParts, NAME_IN, splitModel, textIn } from './split-model.ts'

/** A part of a file in the model's folder. */
export interface WeightExtent {
  /** Relative to the model's folder. */
  path: string
  offset: number
  length: number
}

export interface RangeFile extends Pick<RangeManifest, 'inputs' | 'outputs' | 'passThrough' | 'onnx'> {
  /** The bytes that the sub-model's weights refer to, merged and sorted by path and offset. */
  extents: WeightExtent[]
}

/** An encoded constant, node or function, with the references to files in it: a node's and a function's at any depth. */
interface RangePart extends EncodedPart {
  extents: readonly WeightExtent[]
}

/** The encoded parts of a canonical file in memory, to write ranges of it. The file itself is closed. */
export interface CanonicalModel extends EncodedModel<RangePart> {
  dir: string
  specs: ReadonlyMap<string, TensorSpec>
}

/**
 * Splits `<dir>/<shapesKey>.canonical.onnx` into its parts.
 * @param structure if it is not to be read from the file beside it.
 * @example
 * const canonical = await openCanonical(canonicalPaths('models/mobilenet', shapesKey).canonical)
 */
export async function openCanonical(
  file: string,
  structure: Structure = readStructure(structurePathOf(file)),
): Promise<CanonicalModel> {
  const { frame, metadata, graph, nodes, functions } = await splitModel(await readFile(file))
  const preludeCount = Number(metadata.get(PRELUDE_KEY) ?? 0)
  const parts = nodes.map((node) => ({
    ...node,
    calls: [...node.calls].filter((key) => functions.has(key)),
    extents: extentsIn(node.bytes, 'node'),
  }))
  const isOpen = metadata.has(OPEN_KEY)
  const named = (field: number, kind: 'tensor' | 'sparse') =>
    new Map(
      graph(field).map((bytes) => [textIn(bytes, NAME_IN[kind]), { bytes, extents: extentsIn(bytes, kind) }]),
    )
  const specs = [...structure.inputs, ...structure.layers.flatMap((layer) => layer.outputs)]
  return {
    dir: path.dirname(file),
    structure,
    prelude: parts.slice(0, preludeCount),
    layers: parts.slice(preludeCount),
    frame,
    functions: new Map(
      [...functions].map(([key, fn]) => [key, { ...fn, extents: extentsIn(fn.bytes, 'function') }]),
    ),
    constants: named(GRAPH.initializer, 'tensor'),
    sparse: named(GRAPH.sparse, 'sparse'),
    specs: new Map(specs.map((spec) => [spec.name, spec])),
    value: valueEncoder(structure, isOpen || structure.open ? ownTypes(graph) : new Map(), isOpen),
  }
}

/** Tensors as sessions must see them if that is not their fixed shape: see `Graph.fixed` and `Graph.open`. */
const ownTypes = (graph: ModelParts['graph']) =>
  new Map(
    [...graph(GRAPH.input), ...graph(GRAPH.valueInfo)].map((value) => [textIn(value, NAME_IN.value), value]),
  )

const extentsIn = (message: Uint8Array, kind: Parameters<typeof externalExtents>[1]): WeightExtent[] =>
  externalExtents(message, kind).map(({ tensor: _name, ...extent }) => extent)

/**
 * Writes layers `from`..`to`-1 as a model.
 *
 * @param file path in the model's folder; nothing is written there if the range has no layer.
 * @throws ScissionError invalidRange if the range is out of bounds or out of order.
 * @example
 * const { inputs, outputs } = await writeRange(canonical, 0, 10, 'models/mobilenet/0-10.onnx')
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
  const names = outputs.map(({ name }) => name)
  if (from === to) return { inputs, outputs, passThrough: names, onnx: null, extents: [] }
  const { content, parts, outputs: made } = encodeRange(canonical, from, to)
  // Synchronously: a file of some kilobytes is written before a promise about it would be settled.
  fs.writeFileSync(file, content)
  const sha256 = createHash('sha256').update(content).digest('hex')
  return {
    inputs,
    outputs,
    passThrough: names.filter((name) => !made.includes(name)),
    onnx: { bytes: content.length, sha256 },
    extents: mergeExtents(parts.flatMap(({ extents }) => extents)),
  }
}

/**
 * Checks that the structure has layers [from, to).
 * @throws ScissionError invalidRange naming the number of layers.
 * @example
 * checkRange(structure, 0, structure.layers.length)
 */
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

/** Merges overlapping and adjacent extents. */
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
