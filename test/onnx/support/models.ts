/** Models on disk: copied to a temporary folder, because canonical files are written beside them. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { InputShapes, ModelId } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import {
  analyse,
  type CanonicalModel,
  canonicalPaths,
  openCanonical,
  readSkeleton,
} from '../../../shared/onnx/index.ts'
import type { ModelProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { encode } from './build.ts'

export const NO_ID = '0'.repeat(64) as ModelId

/** A folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-onnx-'))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A copy of a model, with its external data, in a folder of its own; `dir` must exist. */
export function copyOf(source: string, dir = temporaryFolder()): { dir: string; file: string } {
  for (const file of [source, ...externalData(source)]) {
    const copy = path.join(dir, path.basename(file))
    fs.copyFileSync(file, copy)
    fs.chmodSync(copy, 0o644)
  }
  return { dir, file: path.basename(source) }
}

/** A model with external data has a folder for itself: `model.onnx` and files whose names begin with that. */
function externalData(source: string): string[] {
  const folder = path.dirname(source)
  const names = fs.readdirSync(folder).filter((name) => name.startsWith(`${path.basename(source)}.`))
  return names.map((name) => path.join(folder, name))
}

/** A made-up model as a file in a folder of its own. */
export function fileOf(given: ModelProto | Uint8Array): { dir: string; file: string } {
  const dir = temporaryFolder()
  fs.writeFileSync(path.join(dir, 'model.onnx'), given instanceof Uint8Array ? given : encode(given))
  return { dir, file: 'model.onnx' }
}

export interface Analysed {
  dir: string
  file: string
  structure: Structure
  canonical: CanonicalModel
}

export async function analysed(
  at: { dir: string; file: string },
  inputShapes?: InputShapes,
): Promise<Analysed> {
  const structure = await analyse({ ...at, model: NO_ID, inputShapes })
  const canonical = await openCanonical(canonicalPaths(at.dir, structure.shapesKey).canonical)
  return { ...at, structure, canonical }
}

/** The names of a file's graph inputs and outputs. */
export function declaredNames(file: string): { inputs: string[]; outputs: string[] } {
  const { graph } = readSkeleton(file)
  const names = (values: readonly { name: string }[]) => values.map(({ name }) => name)
  return { inputs: names(graph.input), outputs: names(graph.output) }
}
