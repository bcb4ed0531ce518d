/**
 * Do profiles predict? Each model is split over two services at random cuts that no profile has seen, and asked in
 * interleaved rounds with profiles between them (profile-rounds.ts); the same again while another process keeps one
 * core busy.
 *
 * Prediction = both stages by the profile + the hops. The hops are measured with a dummy model that crosses the same
 * bytes and computes about as long (profile-hop.ts), in the same rounds: what is judged is the profile, not the link.
 */
import { sum } from '../../shared/platform/statistics.ts'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { candidates, chooseCuts } from '../../services/inference/jobs/profiler/measure-cuts.ts'
import { type Measurement, profileModel } from '../../services/inference/jobs/profiler/profile-model.ts'
import { type Benchmark, type BenchOptions, machine, type Result } from './bench.ts'
import { timeBlocks, timeStart } from './profile-blocks.ts'
import { figuresOf, type ModelResult, type Phase } from './profile-figures.ts'
import { writeHopModel } from './profile-hop.ts'
import { type BenchModel, isFp32, prepare, sources } from './profile-models.ts'
import { type DeployedPair, interleave, type Targets, undisturbed } from './profile-rounds.ts'
import { driftOf, type Scored, score } from './profile-score.ts'
import { startTwoServices, type TwoServices } from './profile-serve.ts'

const CUTS = 6
const WARM_UPS = 150
const MIN_MODEL_MS = 1
const OPTIONS = { threads: 1, optimisation: 'all' } as const
const RAW = 'docs/results/profile.json'

export const profile: Benchmark = {
  name: 'profile-accuracy',
  title: 'Predicted against measured latency of split models',
  run,
}

async function run(say: (text: string) => void, options: BenchOptions = {}): Promise<Result> {
  const only = options.models?.split(',') ?? []
  const cuts = Number(options.cuts ?? CUTS)
  // If only some models are measured, the others' results stay as they are.
  const before = options.record && only.length > 0 ? readRaw() : []
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const services = await startTwoServices()
  const results: ModelResult[] = []
  try {
    for (const source of sources(only)) {
      const model = await prepare(source, path.join(folder, 'models'))
      const result = await measureModel(
        services,
        model,
        { count: cuts, cold: results.length === 0, withBusy: options.busy !== false },
        say,
      )
      if (result) results.push(result)
      // After each model: a run that is cut short has not measured in vain.
      if (options.record) writeRaw(merge(before, results))
      rmSync(path.join(folder, 'models', source.name), { recursive: true, force: true })
    }
  } finally {
    await services.close()
    rmSync(folder, { recursive: true, force: true })
  }
  const all = merge(before, results)
  return { figures: figuresOf(all), raw: all }
}

function readRaw(): ModelResult[] {
  if (!existsSync(RAW)) return []
  return (JSON.parse(readFileSync(RAW, 'utf8')) as { results: ModelResult[] }).results
}

function writeRaw(results: readonly ModelResult[]): void {
  mkdirSync(path.dirname(RAW), { recursive: true })
  writeFileSync(RAW, `${JSON.stringify({ machine: machine(), results }, null, 1)}\n`)
}

/** Replaces the results that were measured again. */
function merge(before: readonly ModelResult[], again: readonly ModelResult[]): ModelResult[] {
  const others = before.filter(({ name }) => again.every((result) => result.name !== name))
  return [...others, ...again]
}

/** @returns undefined for models that are not asked about: not fp32, below 1 ms, or without a cut. */
async function measureModel(
  services: TwoServices,
  model: BenchModel,
  { count, cold, withBusy }: { count: number; cold: boolean; withBusy: boolean },
  say: (text: string) => void,
): Promise<ModelResult | undefined> {
  const { name, structure, zoo } = model
  if (!zoo && !isFp32(structure)) return undefined
  const request = { path: model.whole, structure, options: OPTIONS }
  const quiet = await profileModel(request)
  const possible = unseen(model, [quiet])
  if (quiet.whole.medianMs < MIN_MODEL_MS || possible.length === 0) return undefined
  const { value: blocks } = await undisturbed(() => timeBlocks(model))
  const startMs = await timeStart(structure)
  const chosen = chooseCuts(possible, quiet.layerMs, Math.min(count, possible.length), `bench ${name}`)
    .map(({ k }) => k)
    .sort((a, b) => a - b)
  const targets = await deployAll(services, model, quiet, chosen)
  if (cold) await warmUp(targets.pairs)
  const phase = async (): Promise<Phase> => {
    const measured = await interleave(targets, quiet.whole.medianMs, () => profileModel(request))
    const fresh = new Set(unseen(model, measured.profiles))
    return {
      profiles: measured.profiles.map(summary),
      foreignCores: measured.rounds.map(({ foreignCores }) => foreignCores),
      drift: driftOf(measured),
      unsteady: measured.unsteady,
      cuts: score(measured, blocks).filter(({ k }) => fresh.has(k)),
    }
  }
  const result = {
    name,
    zoo,
    wholeMs: quiet.whole.medianMs,
    blocks,
    startMs,
    quiet: await phase(),
    busy: withBusy ? await whileBusy(phase) : undefined,
  }
  for (const { real, dummy } of targets.pairs) await Promise.all([real.release(), dummy.release()])
  await targets.reference.release()
  say(lines(result))
  return result
}

function unseen({ structure }: BenchModel, profiles: readonly Measurement[]): number[] {
  const seen = new Set(
    profiles.flatMap(({ anchors = [], predictionError }) =>
      [...anchors, ...(predictionError?.cuts ?? [])].map(({ k }) => k),
    ),
  )
  return candidates(structure).filter((k) => !seen.has(k))
}

const summary = ({ whole, cost, load, interval, predictionError, regime, method }: Measurement) => ({
  wholeMs: whole.medianMs,
  cost,
  load,
  interval,
  predictionError,
  regime,
  method,
})

async function deployAll(
  services: TwoServices,
  model: BenchModel,
  measured: Measurement,
  cuts: readonly number[],
): Promise<Targets> {
  const { structure } = model
  const uploaded = await services.upload(model.name, model.file, structure.inputShapes)
  const bytesOf = (tensors: { bytes: number }[]) => sum(tensors.map(({ bytes }) => bytes))
  const file = path.join(services.folder, `${model.name}-hop.onnx`)
  const boundaries = writeHopModel(file, {
    inputBytes: bytesOf(structure.inputs),
    cuts: cuts.map((k) => ({
      bytes: structure.boundaries[k]?.bytes ?? 0,
      afterMs: sum(measured.layerMs.slice(0, k)),
    })),
    outputBytes: bytesOf(structure.outputs),
    wholeMs: measured.whole.medianMs,
  })
  const dummy = await services.upload(`${model.name}-hop`, file)
  const pairs: DeployedPair[] = []
  for (const [at, k] of cuts.entries()) {
    pairs.push({
      k,
      bytes: structure.boundaries[k]?.bytes ?? 0,
      real: await services.deploy(uploaded, k),
      dummy: await services.deploy(dummy, boundaries[at] ?? 0),
    })
  }
  return { pairs, reference: await services.deploy(uploaded, structure.layers.length) }
}

/** A service's first requests run code that is not compiled yet. */
async function warmUp(pairs: readonly DeployedPair[]): Promise<void> {
  for (let asked = 0; asked < WARM_UPS; asked++) await pairs[asked % pairs.length]?.dummy.ask()
}

/** One core kept busy by a process of its own. */
async function whileBusy<T>(work: () => Promise<T>): Promise<T> {
  const hog = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
  try {
    return await work()
  } finally {
    hog.kill('SIGKILL')
  }
}

/** Errors in percent, with their sign if they have one: too long a prediction is positive. */
function lines({ name, wholeMs, blocks, quiet, busy }: ModelResult): string {
  const list = (cuts: Phase['cuts'], pick: (cut: Scored) => number) =>
    cuts.map((cut) => (100 * pick(cut)).toFixed(1)).join(' ')
  const described = (phase: Phase) => [
    `  error next to it    ${list(phase.cuts, ({ error }) => error)}`,
    `  its bias            ${list(phase.cuts, ({ bias }) => bias)}`,
    `  at the pace beside  ${list(phase.cuts, ({ pacedError }) => pacedError)}`,
    `  bias, stages alone  ${list(phase.cuts, ({ stagesBias }) => stagesBias)}`,
    `  bias, split / whole ${list(phase.cuts, ({ splitBias }) => splitBias)}`,
    `  single profile      ${list(phase.cuts, ({ naive }) => naive.error)}`,
    `  whole, served, ms   ${phase.drift.roundsMs.map((ms) => ms.toFixed(2)).join(' ')} (drift ${(100 * phase.drift.range).toFixed(1)} %)`,
    `  its CPU time, ms    ${phase.drift.roundsCpuMs.map((ms) => ms.toFixed(2)).join(' ')}`,
    `  whole, profiled, ms ${phase.profiles.map((profile) => profile.wholeMs.toFixed(2)).join(' ')}`,
    `  ± %                 ${phase.profiles.map(({ interval }) => (100 * (interval?.relative ?? 0)).toFixed(1)).join(' ')}, holds ${list(phase.cuts, ({ held }) => held)}`,
  ]
  const cost = quiet.profiles[0]?.cost
  return [
    `${name} ${wholeMs.toFixed(1)} ms, cost ${cost?.totalMs.toFixed(0)} ms = ${cost?.inferences.toFixed(0)} runs (blocks ${blocks.tookMs.toFixed(0)} ms, error ${list(quiet.cuts, ({ blocksError }) => blocksError ?? 0)})`,
    ...described(quiet),
    ...(busy ? ['  one core busy:', ...described(busy)] : []),
  ].join('\n')
}
