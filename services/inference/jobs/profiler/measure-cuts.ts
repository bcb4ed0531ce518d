/**
 * The cuts that are run: chosen at random, spread over the model's time, some to fit to and some to check against; and
 * how one is run: both stages as sessions, one after the other as two executors would.
 */
import { createHash } from 'node:crypto'
import type { InferenceSession } from 'onnxruntime-node'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import type { CutModel } from './cut-model.ts'
import type { Feeds, Runner } from './timed-runs.ts'
import { entryOf } from '../../../../shared/platform/entry-of.ts'

export type Role = 'anchor' | 'check'

export interface ChosenCut {
  k: number
  role: Role
}

/** Roles in the order of the runs. A single cut is a check: knowing the error is more important than reducing it. */
const ROLES: readonly Role[] = ['check', 'anchor', 'check', 'anchor']
export const MAX_CUTS = ROLES.length

/** Boundaries that plans prefer: clean single-tensor cuts; without any, all allowed single-tensor ones. */
export function candidates({ boundaries, layers }: Pick<Structure, 'boundaries' | 'layers'>): number[] {
  const inside = boundaries.filter(
    ({ k, allowed, single }) => k > 0 && k < layers.length && allowed && single,
  )
  const clean = inside.filter((boundary) => boundary.clean)
  return (clean.length > 0 ? clean : inside).map(({ k }) => k)
}

/**
 * Chooses a cut at random from each of `count` parts of the model that take equally long by `layerMs`. The same seed gives
 * the same cuts.
 */
export function chooseCuts(
  from: readonly number[],
  layerMs: readonly number[],
  count: number,
  seed: string,
): ChosenCut[] {
  const random = randomOf(seed)
  const cumulative = [0]
  for (const ms of layerMs) cumulative.push((cumulative.at(-1) ?? 0) + ms)
  const wholeMs = cumulative.at(-1) ?? 0
  const parts = Array.from({ length: count }, () => [] as number[])
  for (const k of from) {
    const share = wholeMs > 0 ? (cumulative[k] ?? 0) / wholeMs : k / layerMs.length
    parts[Math.min(count - 1, Math.floor(share * count))]?.push(k)
  }
  const chosen = parts.flatMap((part) => part[Math.floor(random() * part.length)] ?? [])
  return shuffled(chosen, random).map((k, at) => ({ k, role: ROLES[at] ?? 'check' }))
}

/** The cut with about half of the others between it and cut k; undefined if k is the only one. @param from ascending. */
export function farthest(from: readonly number[], k: number): number | undefined {
  const others = from.filter((one) => one !== k)
  const before = others.filter((one) => one < k).length
  return others[(before + Math.floor(others.length / 2)) % others.length]
}

function shuffled(values: readonly number[], random: () => number): number[] {
  return values
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value)
}

/** Numbers in [0, 1) from the SHA-256 of the seed and a counter. */
function randomOf(seed: string): () => number {
  let count = 0
  return () => {
    const digest = createHash('sha256').update(`${seed} ${count++}`).digest()
    return digest.readUInt32LE(0) / 2 ** 32
  }
}

/** A cut that was run, each round beside the whole model. */
export interface PairTimes {
  k: number
  /** Time of each stage over that of the whole model, per round. */
  ratios: { prefix: number; suffix: number }[]
  wholesMs: number[]
}

/**
 * Times both stages of the model split at boundary k between runs of the whole: whole, first stage, second stage, whole, …
 * Neighbours on the machine change its pace from second to second; the ratios within a round they hardly change.
 * @param beside is run after each run of the whole.
 * @throws ScissionError invalidModel if a stage cannot be loaded, internal if it cannot be run.
 */
export async function measurePair(
  { model, feeds, runner, options, whole }: PairInput,
  k: number,
  rounds: number,
  beside: (wholeMs: number) => Promise<void>,
): Promise<PairTimes> {
  const prefix = await model.session(0, k, options)
  const suffix = await model.session(k, model.structure.layers.length, options)
  const runStages = async () => {
    let suffixMs = 0
    const time = await runner.run(prefix, feeds, undefined, async (made) => {
      const inputs = Object.fromEntries(
        suffix.inputNames.flatMap((name) => {
          const tensor = entryOf(made, name) ?? entryOf(feeds, name)
          return tensor === undefined ? [] : [[name, tensor]]
        }),
      )
      suffixMs = runner.figure(await runner.run(suffix, inputs))
    })
    return { prefixMs: runner.figure(time), suffixMs }
  }
  const runWhole = async () => {
    const ms = runner.figure(await runner.run(whole, feeds))
    await beside(ms)
    return ms
  }
  // Warms the sessions up.
  await runStages()
  const wholesMs = [await runWhole()]
  const ratios: PairTimes['ratios'] = []
  for (let round = 0; round < rounds; round++) {
    const { prefixMs, suffixMs } = await runStages()
    const before = wholesMs.at(-1) ?? 0
    const after = await runWhole()
    wholesMs.push(after)
    const around = (before + after) / 2
    ratios.push({ prefix: prefixMs / around, suffix: suffixMs / around })
  }
  await prefix.release()
  await suffix.release()
  return { k, ratios, wholesMs }
}

export interface PairInput {
  model: CutModel
  feeds: Feeds
  runner: Runner
  options: RuntimeOptions
  /** The session of the whole model. */
  whole: InferenceSession
}
