/**
 * The canonical graph on disk, beside the original in the model's folder:
 *
 *   <shapesKey>.canonical.onnx    the graph: prelude nodes, then one node per layer; weights are references into the
 *                                 original's files, so it is small
 *   <shapesKey>.structure.json    the Structure of contracts/model.ts: what planning and serving need
 *
 * Both are written under temporary names and renamed, the structure last: if it exists, both are complete.
 */
import fs from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { Structure, LONG_STRUCTURE } from '../../contracts/model.ts'
import { checkJsonInTurns } from '../../platform/check-in-turns.ts'
import { ScissionError } from '../../platform/errors.ts'
import { assembleGraph } from './encode-graph.ts'
import type { CanonicalGraph } from './canonicalise.ts'
import { sessionType } from './working-graph.ts'
import type { TypedTensor } from '../wire/element-types.ts'
import { ModelProtoSchema } from '../proto/onnx_pb.ts'
import { concatenate } from '../wire/protobuf.ts'
import { writeWholeSync } from '../../platform/atomic-file.ts'

const CANONICAL = '.canonical.onnx'
const STRUCTURE = '.structure.json'
/** Metadata key: number of leading nodes that are the prelude. */
export const PRELUDE_KEY = 'scission.prelude'
/** Metadata key: present if sessions must be given open dimensions (see `Graph.fixed`). */
export const OPEN_KEY = 'scission.open'

export interface CanonicalPaths {
  canonical: string
  structure: string
}

/**
 * The paths of the canonical graph and its structure in the model's folder `dir`.
 * @example
 * const { canonical } = canonicalPaths('models/mobilenet', structure.shapesKey)
 * const model = await openCanonical(canonical)
 */
export function canonicalPaths(dir: string, shapesKey: string): CanonicalPaths {
  return {
    canonical: path.join(dir, shapesKey + CANONICAL),
    structure: path.join(dir, shapesKey + STRUCTURE),
  }
}

/** The structure file that belongs to a canonical file. */
export function structurePathOf(canonicalFile: string): string {
  if (!canonicalFile.endsWith(CANONICAL))
    throw new ScissionError('internal', `"${canonicalFile}" is not named *${CANONICAL}`)
  return canonicalFile.slice(0, -CANONICAL.length) + STRUCTURE
}

/** Writes the graph; the structure follows once its results were checked. */
export function writeCanonical(canonical: CanonicalGraph, { canonical: file }: CanonicalPaths): void {
  const { graph, prelude, layers, types } = canonical
  const model = assembleGraph(graph, {
    nodes: [...prelude, ...layers],
    inputs: graph.inputs.map((input) => sessionType(graph, input)),
    outputs: graph.outputs.map((name) => types.get(name) ?? name),
    // At a cut, the names of open dimensions tell ONNX Runtime which of them are equal, as they do in the whole model.
    inner: graph.open ? innerTypes(canonical) : [],
  })
  const metadataProps = [{ key: PRELUDE_KEY, value: String(prelude.length) }]
  if (!graph.fixed) metadataProps.push({ key: OPEN_KEY, value: 'true' })
  const metadata = toBinary(ModelProtoSchema, create(ModelProtoSchema, { metadataProps }))
  writeWholeSync(file, concatenate([model, metadata]))
}

export function writeStructure({ structure: file }: CanonicalPaths, structure: Structure): void {
  writeWholeSync(file, new TextEncoder().encode(JSON.stringify(structure)))
}

function innerTypes({ graph, layers, types }: CanonicalGraph): TypedTensor[] {
  const made = layers.flatMap((node) => node.output).filter((name) => name && !graph.outputs.includes(name))
  // A rank of 0 may be an unknown one.
  return made.flatMap((name) => types.get(name) ?? []).filter(({ shape }) => shape.length > 0)
}

/**
 * Reads the structure file beside a canonical graph.
 * @throws the file system's error, or ZodError if the file is not a structure.
 * @example
 * const structure = readStructure(canonicalPaths('models/mobilenet', shapesKey).structure)
 */
export function readStructure(file: string): Structure {
  return Structure.parse(JSON.parse(fs.readFileSync(file, 'utf8')))
}

/** The same a piece at a time, for processes that have other work. @throws the file system's error; ScissionError internal. */
export async function readStructureInTurns(file: string): Promise<Structure> {
  const { value, fault } = await checkJsonInTurns(Structure, LONG_STRUCTURE, await readFile(file, 'utf8'))
  if (fault === undefined) return value
  throw new ScissionError(
    'internal',
    `${path.basename(file)}, which was just written, is no structure: ${fault}`,
  )
}
