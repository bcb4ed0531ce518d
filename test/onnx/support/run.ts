/** Runs whole models and chains of sub-models, and compares what comes out. */
import { tensorValues } from '../../../shared/tensors/tensor-values.ts'
import path from 'node:path'
import ort from 'onnxruntime-node'
import { makeInputs } from '../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { writeRange } from '../../../shared/onnx/index.ts'
import { fromRuntime, toRuntime } from '../../../shared/onnx/runtime/analysis-session.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import type { ModelProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { expect } from 'vitest'
import { type Analysed, analysed, fileOf } from './models.ts'

export type Level = 'disabled' | 'basic' | 'extended' | 'all'

/** One thread, so that sums are made in one order. */
const SETTINGS = { intraOpNumThreads: 1, logSeverityLevel: 4, enableCpuMemArena: false } as const

/** Runs a file on the tensors that it asks for by name. */
export async function runFile(
  file: string,
  given: ReadonlyMap<string, Tensor>,
  level: Level,
): Promise<Map<string, Tensor>> {
  const session = await ort.InferenceSession.create(file, { ...SETTINGS, graphOptimizationLevel: level })
  try {
    const feeds = session.inputNames.map((name) => {
      const tensor = given.get(name)
      if (!tensor) throw new Error(`the file asks for "${name}", which did not cross the boundary`)
      return [name, toRuntime(tensor)] as const
    })
    const results = await session.run(Object.fromEntries(feeds))
    return new Map(session.outputNames.map((name) => [name, fromRuntime(name, results[name]!)]))
  } finally {
    await session.release()
  }
}

export function inputsOf({ structure }: Analysed, seed = 7): Map<string, Tensor> {
  const tensors = makeInputs(structure.inputs, seed, structure.inputHints)
  return new Map(tensors.map((tensor) => [tensor.name, tensor]))
}

/** The model cut at the given boundaries, each piece a session of its own: the tensors of the last boundary. */
export async function runPieces(
  { canonical, structure, dir }: Analysed,
  cuts: readonly number[],
  inputs: ReadonlyMap<string, Tensor>,
  level: Level,
): Promise<Map<string, Tensor>> {
  let have = new Map(inputs)
  let from = 0
  for (const to of [...cuts, structure.layers.length]) {
    const file = path.join(dir, `piece-${from}-${to}.onnx`)
    const range = await writeRange(canonical, from, to, file)
    const made = range.onnx ? await runFile(file, have, level) : new Map<string, Tensor>()
    const next = new Map<string, Tensor>()
    // Only the frontier crosses: what is not in it must not be there for the next piece.
    for (const { name } of range.outputs) {
      const tensor = made.get(name) ?? have.get(name)
      if (tensor) next.set(name, tensor)
    }
    have = next
    from = to
  }
  return have
}

/** Largest difference over all outputs, relative to each output's largest magnitude. Infinity if shapes differ. */
export function difference(got: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>): number {
  let worst = 0
  for (const [name, tensor] of expected) worst = Math.max(worst, tensorDifference(got.get(name), tensor))
  return worst
}

export function tensorDifference(got: Tensor | undefined, expected: Tensor): number {
  if (got?.datatype !== expected.datatype || got.shape.join() !== expected.shape.join())
    return Number.POSITIVE_INFINITY
  const a = tensorValues(got)
  const b = tensorValues(expected)
  let largest = 0
  let apart = 0
  for (let i = 0; i < b.length; i++) {
    const x = a[i] ?? Number.NaN
    const y = b[i] ?? Number.NaN
    largest = Math.max(largest, Math.abs(y))
    if (Object.is(x, y)) continue
    const difference = Math.abs(x - y)
    apart = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(apart, difference)
  }
  return apart === 0 ? 0 : apart / (largest || 1)
}

/** Analyses a model and checks that its layers, each a piece of its own, compute what the file does. */
export async function piecewise(
  given: ModelProto,
  shapes?: InputShapes,
  level: Level = 'disabled',
): Promise<Analysed> {
  const at = fileOf(given)
  const analysis = await analysed(at, shapes)
  const inputs = inputsOf(analysis)
  const everyBoundary = analysis.structure.boundaries.map(({ k }) => k).slice(1, -1)
  const got = await runPieces(analysis, everyBoundary, inputs, level)
  // Not 0: constants that ONNX Runtime sees as such may be packed, which changes the order of additions.
  expect(difference(got, await runFile(path.join(at.dir, at.file), inputs, level))).toBeLessThan(1e-6)
  return analysis
}

export function operators({ structure }: Analysed): string[] {
  return structure.layers.map(({ op }) => op)
}
