/**
 * Holds one made model to the laws: what ONNX Runtime runs, Scission takes; the whole as served, and the model cut at every
 * boundary that is allowed, give what the file gives; and a clean cut gives the very numbers of the whole.
 */
import { ModelId } from '../../../shared/contracts/common.ts'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { analyse, type CanonicalModel, canonicalPaths, openCanonical } from '../../../shared/onnx/index.ts'
import { makeInputs } from '../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import { compareAll } from '../../support/compare-tensors.ts'
import { encode } from '../support/build.ts'
import { runHeldRange, runSession, type Tensors } from './held-range.ts'
import { type MadeModel, makeModel } from './make-model.ts'

type Level = RuntimeOptions['optimisation']

/** Kernels of other shapes add in another order. */
const TOLERANCE = 1e-5
/** With numbers of 16 bits: a cut rounds what the whole keeps in 32. */
const HALF_TOLERANCE = 2e-3
/** At a clean cut nothing should change; the last bit may, where the runtime's kernels add in another order. */
export const CLEAN_TOLERANCE = 1e-6
/** The runtime's optimisations may move its own results by this much; beyond it, they are no measure. */
const UNSTEADY = 1e-3

export interface Fault {
  /** analysis: what the runtime runs was refused; whole: as served, it differs from the file; layers: all cuts at once. */
  where: 'analysis' | 'whole' | 'cut' | 'layers' | 'crash'
  /** The boundary of a cut. */
  k?: number
  clean?: boolean
  /** How far apart; absent if it did not run. */
  apart?: number
  why: string
}

export interface Outcome {
  seed: number
  pieces: string[]
  /** Why the model does not count: ONNX Runtime refuses it, or differs from itself without its optimisations. */
  setAside?: { by: 'refused' | 'unsteady'; why: string }
  /** As served it differs from the file by so much, but not without the runtime's optimisations. */
  optimisedApart?: number
  layers: number
  cuts: {
    allowed: number
    clean: number
    bitIdentical: number
    cleanBitIdentical: number
    /** Not clean, and further apart than rounding explains, but not without the runtime's optimisations. */
    optimisedApart: number
  }
  faults: Fault[]
}

/** What is being done, to tell where a process ended. */
export type Stage = 'reference' | 'product'

interface Case {
  folder: string
  inputs: Tensors
  canonical: CanonicalModel
}

/** @param folder empty; for the model's files. */
export async function checkMadeModel(
  seed: number,
  folder: string,
  atStage: (stage: Stage) => void = () => {},
): Promise<Outcome> {
  const made = makeModel(seed)
  const cuts = { allowed: 0, clean: 0, bitIdentical: 0, cleanBitIdentical: 0, optimisedApart: 0 }
  const outcome: Outcome = { seed, pieces: made.pieces, layers: 0, cuts, faults: [] }
  writeModel(made, folder)
  const inputs = new Map(makeInputs(made.inputs, 7).map((tensor) => [tensor.name, tensor]))
  atStage('reference')
  const reference = await attempt(() => runFile(folder, inputs, 'all'))
  if ('error' in reference) return { ...outcome, setAside: { by: 'refused', why: reference.error } }
  const plain = await attempt(() => runFile(folder, inputs, 'disabled'))
  if ('error' in plain) return { ...outcome, setAside: { by: 'unsteady', why: plain.error } }
  const { apart, why = '' } = compareAll(plain.value, reference.value)
  if (apart > UNSTEADY) return { ...outcome, setAside: { by: 'unsteady', why } }
  const again = compareAll(await runFile(folder, inputs, 'all', 2), reference.value)
  if (again.apart > 0)
    return { ...outcome, setAside: { by: 'unsteady', why: `the second run: ${again.why}` } }
  atStage('product')
  const analysis = await attempt(() =>
    analyse({ dir: folder, file: 'model.onnx', model: ModelId.parse('0'.repeat(64)) }),
  )
  if ('error' in analysis) return { ...outcome, faults: [{ where: 'analysis', why: analysis.error }] }
  const canonical = await openCanonical(canonicalPaths(folder, analysis.value.shapesKey).canonical)
  const given = { folder, inputs, canonical }
  outcome.layers = analysis.value.layers.length
  const whole = await checkWhole(given, reference.value, outcome)
  if (whole) await checkCuts(given, whole, outcome)
  return outcome
}

export function writeModel({ model, files }: MadeModel, folder: string): void {
  for (const [name, bytes] of [['model.onnx', encode(model)] as const, ...files]) {
    const file = path.join(folder, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, bytes)
  }
}

/**
 * Compares the whole as served with the file. The two are optimised each by itself, and a weight that is no Constant node
 * any more may allow the runtime another operator: if they agree without optimisations, it is the runtime that differs.
 * @returns what the whole gives.
 */
async function checkWhole(given: Case, reference: Tensors, outcome: Outcome): Promise<Tensors | undefined> {
  const whole = await attempt(() => runCut(given, [], 'all'))
  if ('error' in whole) {
    outcome.faults.push({ where: 'whole', why: whole.error })
    return undefined
  }
  const { apart, why = '' } = compareAll(whole.value, reference)
  if (apart <= toleranceOf(given)) return whole.value
  const plain = await runCut(given, [], 'disabled')
  const unoptimised = compareAll(plain, await runFile(given.folder, given.inputs, 'disabled'))
  if (unoptimised.apart <= CLEAN_TOLERANCE) outcome.optimisedApart = apart
  else outcome.faults.push({ where: 'whole', apart, why })
  return whole.value
}

async function checkCuts(given: Case, whole: Tensors, { faults, cuts, layers }: Outcome): Promise<void> {
  const tolerance = toleranceOf(given)
  const { boundaries } = given.canonical.structure
  const inner = boundaries.filter(({ k, allowed }) => allowed && k > 0 && k < layers)
  const differs = async (at: readonly number[], from = whole, level: Level = 'all') => {
    const cut = await attempt(() => runCut(given, at, level))
    return 'error' in cut ? { apart: undefined, why: cut.error } : compareAll(cut.value, from)
  }
  // A last bit becomes a step where layers round to integers, which no tolerance covers.
  const isOptimisedApart = async (k: number) => {
    const { apart = 1 } = await differs([k], await runCut(given, [], 'disabled'), 'disabled')
    return apart <= CLEAN_TOLERANCE
  }
  for (const { k, clean } of inner) {
    const { apart, why = '' } = await differs([k])
    const isIdentical = apart === 0
    cuts.allowed += 1
    cuts.clean += Number(clean)
    cuts.bitIdentical += Number(isIdentical)
    cuts.cleanBitIdentical += Number(isIdentical && clean)
    const limit = clean ? CLEAN_TOLERANCE : tolerance
    if (apart === undefined) faults.push({ where: 'cut', k, clean, why })
    else if (apart <= limit) continue
    else if (!clean && (await isOptimisedApart(k))) cuts.optimisedApart += 1
    else faults.push({ where: 'cut', k, clean, apart, why })
  }
  // Where a cut alone is a fault already, all of them together tell nothing more.
  if (faults.length > 0 || cuts.optimisedApart > 0) return
  const { apart, why = '' } = await differs(inner.map(({ k }) => k))
  if (apart === undefined) faults.push({ where: 'layers', why })
  else if (apart > 10 * tolerance) faults.push({ where: 'layers', apart, why })
}

const toleranceOf = ({ canonical }: Case) => (usesHalf(canonical.structure) ? HALF_TOLERANCE : TOLERANCE)

const usesHalf = ({ layers, inputs }: Structure) =>
  [...inputs, ...layers.flatMap(({ outputs }) => outputs)].some(({ datatype }) => datatype === 'FP16')

/** Runs the model cut at these boundaries, each piece as a machine holds it. */
async function runCut(
  { canonical, inputs }: Case,
  cuts: readonly number[],
  optimisation: Level,
): Promise<Tensors> {
  let have = inputs
  let from = 0
  for (const to of [...cuts, canonical.structure.layers.length]) {
    have = await runHeldRange(canonical, [from, to], have, { threads: 1, optimisation })
    from = to
  }
  return have
}

/** @param runs of one session; the last one counts. In training mode, a BatchNormalization writes over its constants. */
async function runFile(folder: string, inputs: Tensors, level: Level, runs = 1): Promise<Tensors> {
  const settings = { intraOpNumThreads: 1, logSeverityLevel: 4, graphOptimizationLevel: level } as const
  const session = await InferenceSession.create(path.join(folder, 'model.onnx'), settings)
  try {
    for (let run = 1; run < runs; run++) await runSession(session, inputs)
    return await runSession(session, inputs)
  } finally {
    await session.release()
  }
}

async function attempt<T>(run: () => Promise<T>): Promise<{ value: T } | { error: string }> {
  try {
    return { value: await run() }
  } catch (thrown) {
    return { error: coerceError(thrown).message }
  }
}
