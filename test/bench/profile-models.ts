/** The models of the profile benchmark, each in a folder of its own, analysed, with its range 0..N beside it. */
import { copyFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import type { InputShapes, ModelId } from '../../shared/contracts/common.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { analyseInChild, canonicalPaths, openCanonical, writeRange } from '../../shared/onnx/index.ts'
import { buildZooModel, listZoo } from '../../shared/zoo/index.ts'
import { thirdParty } from '../support/test-models.ts'

const ID = 'a'.repeat(64) as ModelId
const LIMITS = { timeoutMs: 120_000, memoryLimitBytes: 2 ** 33 }

export interface BenchModel {
  name: string
  /** The ONNX file, and the sub-model of all its layers beside it. */
  file: string
  whole: string
  structure: Structure
  zoo: boolean
}

interface Source {
  name: string
  zoo: boolean
  shapes: InputShapes | undefined
  write: (file: string) => Promise<unknown>
}

/** All 18 of the zoo, then the real ones, those with external data left out. @param only names, or none for all. */
export function sources(only: readonly string[]): Source[] {
  const zoo = listZoo().map(({ name }) => ({
    name: name as string,
    zoo: true,
    shapes: undefined,
    write: (file: string) => buildZooModel(name, file),
  }))
  const all = [...zoo, ...realModels()]
  return only.length === 0 ? all : all.filter(({ name }) => only.includes(name))
}

function realModels(): Source[] {
  return thirdParty.works
    .filter(({ name }) => !name.includes('/'))
    .map(({ name, file, shapes }) => ({
      name: path.basename(name, '.onnx'),
      zoo: false,
      shapes,
      write: (target: string) => Promise.resolve(copyFileSync(file, target)),
    }))
}

export async function prepare({ name, zoo, shapes, write }: Source, folder: string): Promise<BenchModel> {
  const dir = path.join(folder, name)
  mkdirSync(dir, { recursive: true })
  const file = path.join(dir, 'model.onnx')
  await write(file)
  const structure = await analyseInChild({
    dir,
    file: 'model.onnx',
    model: ID,
    ...(shapes && { inputShapes: shapes }),
    ...LIMITS,
  })
  const canonical = await openCanonical(canonicalPaths(dir, structure.shapesKey).canonical)
  const whole = path.join(dir, 'whole.onnx')
  await writeRange(canonical, 0, structure.layers.length, whole)
  return { name, file, whole, structure, zoo }
}

/** Every tensor and every operator computes in fp32 (integers beside it are shapes and indices). */
export function isFp32({ layers, inputs }: Structure): boolean {
  const types = [...inputs, ...layers.flatMap((layer) => layer.outputs)].map(({ datatype }) => datatype)
  const quantised = layers.some(({ op }) => /Quantize|QLinear|Integer/.test(op))
  return (
    !quantised && types.includes('FP32') && !types.some((type) => ['FP16', 'INT8', 'UINT8'].includes(type))
  )
}
