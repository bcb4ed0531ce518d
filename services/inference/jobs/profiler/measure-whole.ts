/**
 * The whole model in one session: its scale and its shares.
 *
 * The session begins with ONNX Runtime's profiler on; when the profiler is told to end, the same session goes on
 * unprofiled. So one session is created, not two, and its shares and its scale are of the same session.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import type { CutModel } from './cut-model.ts'
import { nodesInNames } from './layer-times.ts'
import { rangeMemory } from './memory-and-load.ts'
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
import { sessionOptions } from '../../serving/executor/session-options.ts'

export interface WholeInput {
  model: CutModel
  feeds: Feeds
  options: RuntimeOptions
  /** An empty folder for what the profiler writes. */
  folder: string
  /** Unprofiled runs, and as many profiled ones; undefined = what the model's size allows. */
  runs: number | undefined
  slowdown?: number | undefined
}

export interface Whole {
  session: InferenceSession
  createMs: number
  /** Unprofiled runs, warm, each after a pause. */
  samples: RunTime[]
  /** A run after a pause over a run without one; undefined where that was not worth its time. */
  coldFactor: number | undefined
  times: NodeTime[]
  nodes: OptimisedNode[]
}

const EVENTS = 'events'
/**
 * To save its optimised graph a session copies every weight once more, into fresh memory: of AlexNet's 240 MB that takes
 * as long as five runs. From here on it is only saved where the names of the nodes do not tell.
 */
const HEAVY_BYTES = 100 * 2 ** 20
/** ONNX Runtime's profiler stops recording after a million events; and every run costs about 500 bytes per node. */
const MAX_EVENTS = 200_000
/** Time for each kind of run: small models get many runs, large ones the fewest. */
const WARM_UP_MS = 50
const PROFILED_MS = 36
const PLAIN_MS = 36
const LEAST_RUNS = 2
/** Each cut that is run gives more of the same (pair.ts). */
const LEAST_PLAIN = 1
const MOST_RUNS = 40
/** Larger ones hardly fit into the caches anyway, and hot runs of them cost too much. */
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
    Math.max(LEAST_RUNS, Math.floor(MAX_EVENTS / Math.max(1, layers.length))),
  )
  await repeat(profiled, 'profile', steps, run)
  session.endProfiling()
  const samples = await repeat(input.runs ?? runsIn(PLAIN_MS, warm.ms, LEAST_PLAIN), 'measure', steps, run)
  const hot = warm.ms < HOT_BELOW_MS ? await repeat(HOT_RUNS, 'measure', steps, () => run(0)) : []
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

export function runsIn(totalMs: number, runMs: number, least = LEAST_RUNS): number {
  return Math.min(MOST_RUNS, Math.max(least, Math.ceil(totalMs / Math.max(runMs, 0.01))))
}

async function repeat(
  runs: number,
  step: 'profile' | 'measure',
  steps: Steps,
  run: () => Promise<RunTime>,
): Promise<RunTime[]> {
  steps.begin(step, runs)
  const times: RunTime[] = []
  for (let done = 0; done < runs; done++) {
    times.push(await run())
    steps.tick()
  }
  return times
}

const WINDOW = 3
const STABLE = 0.97

/** Until three runs are no faster than the three before, or the time is up; one run of a large model. */
async function warmUp(run: () => Promise<number>, steps: Steps): Promise<{ runs: number; ms: number }> {
  steps.begin('warm up', MOST_RUNS)
  let best = Number.POSITIVE_INFINITY
  let window: number[] = []
  let spentMs = 0
  for (let runs = 1; ; runs++) {
    const ms = await run()
    steps.tick()
    spentMs += ms
    window.push(ms)
    if (spentMs >= WARM_UP_MS || runs >= MOST_RUNS) return { runs, ms: median(window) }
    if (window.length < WINDOW) continue
    const figure = median(window)
    if (figure > STABLE * best) return { runs, ms: figure }
    best = Math.min(best, figure)
    window = []
  }
}

/** It does not tell what it has called the file: the prefix, then the time. */
function eventsIn(folder: string): string {
  const written = fs.readdirSync(folder).find((name) => name.startsWith(EVENTS)) ?? EVENTS
  return fs.readFileSync(path.join(folder, written), 'utf8')
}
