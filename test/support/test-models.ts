/**
 * The models that the suites run over: our own (test/data/models), which are always there, and those of other projects
 * if they are present. Both folders have a MANIFEST.json of the same form.
 */
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { MODELS } from './material.ts'

const OWN = fileURLToPath(new URL('../data/models/', import.meta.url))

const Entry = z.object({
  file: z.string(),
  set: z.enum(['dev', 'negative']),
  runShapes: z.record(z.string(), z.tuple([z.string(), z.array(z.number())])).nullable(),
  runConfig: z.object({ light: z.boolean().optional() }).optional(),
  error: z.string().nullish(),
})

export interface TestModel {
  /** As in the manifest: `mnist-8_cnn.onnx`. */
  name: string
  /** Absolute. Files of external data lie in a folder that the model has for itself. */
  file: string
  shapes: InputShapes
  /** All weights are one constant, and so is the output: structure and timing only. */
  light: boolean
  /** For `describe` and `it`: tests of third-party models are counted apart. */
  tags: string[]
}

/** A file that must be refused. */
export interface RefusedModel extends TestModel {
  /** The fault: a part of the refusal for our own files, the message of ONNX Runtime for the others. */
  error: string
}

interface ModelSet {
  works: TestModel[]
  refused: RefusedModel[]
}

function readSet(folder: string, tags: string[]): ModelSet {
  const text = fs.readFileSync(path.join(folder, 'MANIFEST.json'), 'utf8')
  const entries = z.array(Entry).parse(JSON.parse(text))
  const models = entries.map(({ set, file, runShapes, runConfig, error }) => ({
    set,
    name: file,
    file: path.join(folder, file),
    shapes: Object.fromEntries(Object.entries(runShapes ?? {}).map(([name, [, dims]]) => [name, dims])),
    light: runConfig?.light === true,
    tags,
    error: error ?? '',
  }))
  return {
    works: models.filter(({ set }) => set === 'dev'),
    refused: models.filter(({ set }) => set === 'negative'),
  }
}

export const own = readSet(OWN, [])

/** Empty if there are none. */
export const thirdParty: ModelSet =
  MODELS.found === undefined ? { works: [], refused: [] } : readSet(MODELS.found, [MODELS.tag])

/** Path of a model, or of a reference beside it, of our own. */
export const ownFile = (name: string): string => path.join(OWN, name)

/** Path of a third-party file, which need not be there. */
export const thirdPartyFile = (name: string): string => path.join(MODELS.path, name)

/** Options for tests that need third-party files: their tag, and to be skipped if one of the files is not there. */
export function needsFiles(...names: readonly string[]): { tags: string[]; skip: boolean } {
  return { tags: [MODELS.tag], skip: !names.every((name) => fs.existsSync(thirdPartyFile(name))) }
}
