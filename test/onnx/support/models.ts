/** The real models of ../shared/models: copied to a temporary folder, because canonical files are written beside them. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import type { InputShapes, ModelId } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { analyse, type CanonicalModel, canonicalPaths, openCanonical } from '../../../shared/onnx/index.ts'
import type { ModelProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { encode } from './build.ts'

export const MODELS = fileURLToPath(new URL('../../../../shared/models/', import.meta.url))
export const haveModels = fs.existsSync(path.join(MODELS, 'MANIFEST.json'))
if (!haveModels) console.log(`skipped: no real models at ${MODELS}`)

const Entry = z.object({
  file: z.string(),
  set: z.enum(['dev', 'negative']),
  runShapes: z.record(z.string(), z.tuple([z.string(), z.array(z.number())])).nullable(),
})

export interface RealModel {
  /** As in the manifest: `mnist-8_cnn.onnx`. */
  name: string
  shapes: InputShapes
}

/** The 24 models that work, with shapes to run them with. */
export const realModels: RealModel[] = haveModels
  ? z
      .array(Entry)
      .parse(JSON.parse(fs.readFileSync(path.join(MODELS, 'MANIFEST.json'), 'utf8')))
      .filter(({ set }) => set === 'dev')
      .map(({ file, runShapes }) => ({
        name: file,
        shapes: Object.fromEntries(Object.entries(runShapes ?? {}).map(([name, [, dims]]) => [name, dims])),
      }))
  : []

export const NO_ID = '0'.repeat(64) as ModelId

/** A folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-onnx-'))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A copy of a real model (with its external data) in a folder of its own; `dir` must exist. */
export function copyOf(name: string, dir = temporaryFolder()): { dir: string; file: string } {
  const source = path.join(MODELS, name)
  const withData = name.includes('/') && !name.startsWith('negative/')
  for (const file of withData ? siblings(source) : [source]) {
    const copy = path.join(dir, path.basename(file))
    fs.copyFileSync(file, copy)
    fs.chmodSync(copy, 0o644)
  }
  return { dir, file: path.basename(name) }
}

function siblings(file: string): string[] {
  const folder = path.dirname(file)
  return fs.readdirSync(folder).map((entry) => path.join(folder, entry))
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
