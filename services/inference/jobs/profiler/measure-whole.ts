/**
 * Measures the whole model in one session: its scale and its shares.
 *
 * The session begins with ONNX Runtime's profiler on; after the end of profiling the same session goes on unprofiled. So
 * only one session is created, and shares and scale belong to the same session.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import type { CutModel } from './cut-model.ts'
import { nodesInNames } from './layer-times.ts'
import type { MeasureInput } from './measure-model-job.ts'
import { rangeMemory } from '../../serving/models/range-memory.ts'
import {
  type NodeTime,
  type OptimisedNode,
  readEvents,
  readOptimisedGraph,
  savingOptions,
} from './profiler-output.ts'
import type { Feeds, Runner, RunTime } from './timed-runs.ts'
import type { Steps } from './measuring-steps.ts'
import { median, undisturbed } from '../../../../shared/platform/statistics.ts'
import { sessionOptions } from '../../serving/executor/ort-session.ts'

export interface WholeInput extends Pick<MeasureInput, 'options' | 'folder' | 'runs' | 'slowdown'> {
  model: CutModel
  feeds: Feeds
  /** Is run after each unprofiled run, whose time it is given. */
  beside: (wholeMs: number) => Promise<void>
}

export interface Whole {
  session: InferenceSession
  createMs: number
  /** Unprofiled runs, warm, each after a pause. */
  samples: RunTime[]
  /** Time of a run after a pause over that of a run without one; undefined if it was not measured. */
  coldFactor: number | undefined
  times: NodeTime[]
  nodes: OptimisedNode[]
}

const EVENTS = 'events'
/**
 * To save its optimised graph a session copies every weight to fresh memory: for AlexNet's 240 MB that takes as long as
 * five runs. From this size on the graph is saved only if the names of the nodes do not identify the layers.
 */
const HEAVY_BYTES = 100 * 2 ** 20
/** ONNX Runtime's profiler stops recording after a million events, and every run takes about 500 bytes per node. */
const MAX_EVENTS = 200_000
/** Time for each kind of run: small models get many runs, large ones the minimum. */
const WARM_UP_MS = 50
const PROFILED_MS = 36
const PLAIN_MS = 36
const MIN_RUNS = 2
/** Each cut that is run adds unprofiled runs of the whole (measure-cuts.ts). */
const MIN_PLAIN_RUNS = 1
const MAX_RUNS = 40
/** Larger models hardly fit into the caches, and runs without a pause cost too much. */
const HOT_BELOW_MS = 8
const HOT_RUNS = 5

export async function measureWhole(input: WholeInput, runner: Runner, steps: Steps): Promise<Whole> {
  const { model, feeds, options, folder } = input
  const { layers } = model.structure
  const saves = rangeMemory(model.structure, 0, layers.length).weightBytes < HEAVY_BYTES
  const open = (settings: InferenceSession.SessionOptions) =>
    model.session(0, layers.length, options, settings)
  const saving = () => savingOptions(folder, sessionOptions(options))
  steps.begin('load', 1)
  const before = performance.now()
  const session = await open({
    ...(saves && saving()),
    enableProfiling: true,
    profileFilePrefix: path.join(folder, EVENTS),
  })
  const createMs = performance.now() - before
  const run = (pauseMs?: number) => runner.run(session, feeds, pauseMs)
  const warm = await warmUp(async () => runner.figure(await run()), steps)
  runner.pauseAs(input.slowdown ?? 1, warm.ms)
  const profiled = Math.min(
    input.runs ?? runsIn(PROFILED_MS, warm.ms),
    Math.max(MIN_RUNS, Math.floor(MAX_EVENTS / Math.max(1, layers.length))),
  )
  steps.begin('profile', profiled)
  await repeat(profiled, steps, run)
  session.endProfiling()
  const plain = async () => {
    const time = await run()
    await input.beside(runner.figure(time))
    return time
  }
  const count = input.runs ?? runsIn(PLAIN_MS - warm.ms, warm.ms, MIN_PLAIN_RUNS)
  const hotRuns = warm.ms < HOT_BELOW_MS ? HOT_RUNS : 0
  steps.begin('measure', count + hotRuns)
  const samples = await repeat(count, steps, plain)
  const hot = await repeat(hotRuns, steps, () => run(0))
  const times = readEvents(eventsIn(folder), warm.runs + profiled, warm.runs)
  const named = saves ? undefined : nodesInNames(layers, times)
  if (!saves && !named) await (await open(saving())).release()
  const figures = (runs: readonly RunTime[]) => undisturbed(runs.map((time) => runner.figure(time)))
  return {
    session,
    createMs,
    samples,
    coldFactor: hot.length > 0 ? figures(samples) / figures(hot) : undefined,
    times,
    nodes: named ?? readOptimisedGraph(folder),
  }
}

export function runsIn(totalMs: number, runMs: number, least = MIN_RUNS): number {
  return Math.min(MAX_RUNS, Math.max(least, Math.ceil(totalMs / Math.max(runMs, 0.01))))
}

async function repeat(runs: number, steps: Steps, run: () => Promise<RunTime>): Promise<RunTime[]> {
  const times: RunTime[] = []
  for (let done = 0; done < runs; done++) {
    times.push(await run())
    steps.tick()
  }
  return times
}

const WINDOW = 3
const STABLE = 0.97

/** Runs until three runs are no faster than the three before, or the time is up; a large model once. */
async function warmUp(run: () => Promise<number>, steps: Steps): Promise<{ runs: number; ms: number }> {
  steps.begin('warm up', MAX_RUNS)
  let best = Number.POSITIVE_INFINITY
  let window: number[] = []
  let spentMs = 0
  for (let runs = 1; ; runs++) {
    const ms = await run()
    steps.tick()
    spentMs += ms
    window.push(ms)
    if (spentMs >= WARM_UP_MS || runs >= MAX_RUNS) return { runs, ms: median(window) }
    if (window.length < WINDOW) continue
    const figure = median(window)
    if (figure > STABLE * best) return { runs, ms: figure }
    best = Math.min(best, figure)
    window = []
  }
}

/** Reads the profiler's file: its name is the prefix and the time, which ONNX Runtime does not report. */
function eventsIn(folder: string): string {
  const written = fs.readdirSync(folder).find((name) => name.startsWith(EVENTS)) ?? EVENTS
  return fs.readFileSync(path.join(folder, written), 'utf8')
}
