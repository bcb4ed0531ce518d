/**
 * Cases: folders with a model file, inputs and what is to happen to it. One is
 *
 *   model.onnx      beside it the files that it refers to; `locations.json` says which file stands for which location, if
 *                   not each for its own path
 *   inputs.npz      one array for each graph input
 *   case.json       see `CaseFile`
 *   reference.onnx  what ONNX Runtime runs for the right values, where it cannot load model.onnx itself
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { InputShapes } from '../../shared/contracts/common.ts'

const CaseFile = z.object({
  name: z.string(),
  /** What is right, in words. */
  wanted: z.string().default(''),
  /** refused: the upload, for a reason that `message` matches; either: refused for it, or works. */
  expect: z.enum(['works', 'refused', 'either']).default('works'),
  message: z.string().default('.'),
  /** Outputs differ from run to run: only their types are compared. */
  random: z.boolean().default(false),
  /** Largest difference of a float, as a share of the largest value expected or of 1. */
  tolerance: z.number().default(1e-5),
  noReference: z.boolean().default(false),
  maxCuts: z.number().int().optional(),
  /** Steps that may be refused. */
  mayFail: z.array(z.string()).default([]),
  /** Of the plan that is asked for. */
  query: z.record(z.string(), z.number()).default({ minStages: 2 }),
  /** null: uploaded without shapes. Absent: with those of the inputs, if the file leaves some open. */
  shapes: InputShapes.nullish(),
})

export interface Case extends Omit<z.infer<typeof CaseFile>, 'message'> {
  folder: string
  model: string
  /** The file whose values are right. */
  reference: string
  inputs: string
  /** Files that are uploaded with the model, by the location that it names. */
  external: { location: string; file: string }[]
  message: RegExp
}

/** @param folder of a case, or of many. @returns those that have a `case.json`, by name. */
export function readCases(folder: string): Case[] {
  if (existsSync(path.join(folder, 'case.json'))) return [readCase(folder)]
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(path.join(folder, entry.name, 'case.json')))
    .map(({ name }) => readCase(path.join(folder, name)))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}

function readCase(folder: string): Case {
  const given = CaseFile.parse(JSON.parse(readFileSync(path.join(folder, 'case.json'), 'utf8')))
  const file = (name: string) => path.join(folder, name)
  const alone = file('reference.onnx')
  return {
    ...given,
    folder,
    model: file('model.onnx'),
    reference: existsSync(alone) ? alone : file('model.onnx'),
    inputs: file('inputs.npz'),
    external: externalFiles(folder),
    message: patternOf(given.message),
  }
}

/** Python writes "(?i)" where JavaScript has a flag. */
function patternOf(text: string): RegExp {
  const ignoresCase = text.startsWith('(?i)')
  return new RegExp(ignoresCase ? text.slice(4) : text, ignoresCase ? 'i' : '')
}

const OWN_FILES = /^(inputs\.npz|case\.json|result\.json|locations\.json)$|\.(py|onnx|md)$/

function externalFiles(folder: string): Case['external'] {
  const listing = path.join(folder, 'locations.json')
  if (existsSync(listing)) {
    const files = z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(listing, 'utf8')))
    return Object.entries(files).map(([location, name]) => ({ location, file: path.join(folder, name) }))
  }
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !OWN_FILES.test(entry.name))
    .map(({ parentPath, name }) => path.join(parentPath, name))
    .map((file) => ({ location: path.relative(folder, file).split(path.sep).join('/'), file }))
}
