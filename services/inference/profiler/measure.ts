/**
 * Measures a whole model on this machine. Blocks its thread: runs in a process of its own (measure-child.ts).
 *
 *   1. a session as the executor has it: create, warm up, `runs` unprofiled runs            → the scale
 *   2. a session with the profiler on and its optimised graph saved: `runs` runs            → the shares
 *   3. layer = its share of the profiled time × the scale                                  (layer-times.ts)
 *
 * Profiling slows a run by 0.1 to 15 %, evenly enough that shares hold (shared/design/onnxruntime.md). The scale of a
 * session with one thread is CPU time: on a busy machine wall time is off by 10 to 40 %, CPU time is not.
 */
import fs from 'node:fs'
import path from 'node:path'
import { InferenceSession, type Tensor as OrtTensor } from 'onnxruntime-node'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { BenchmarkProgress, Profile } from '../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/errors.ts'
import { makeInputs } from '../../../shared/onnx/inputs.ts'
import { cpuTimer } from '../executor/cpu-time.ts'
import { toOrt } from '../../../shared/ort-tensor.ts'
import { runError } from '../executor/ort-errors.ts'
import { createSession, sessionOptions } from '../executor/session-options.ts'
import { type NodeTime, readEvents } from './events.ts'
import { besideModel, nameNodesByLayer } from './layer-names.ts'
import { layerTimes } from './layer-times.ts'
import { type OptimisedNode, readOptimisedGraph, savingOptions } from './optimised-graph.ts'
import { Steps } from './steps.ts'
import { median } from './statistics.ts'

export interface MeasureInput {
  path: string
  structure: Structure
  runs: number
  options: RuntimeOptions
  /** An empty folder for what the profiler writes; the caller removes it, also when this process is lost. */
  folder: string
}

export type Measured = Pick<
  Profile,
  'method' | 'whole' | 'layerMs' | 'sessionCreateMs' | 'peakRssBytes' | 'measuredAt'
>

/** Seed of the made-up inputs: any, but always the same. */
const SEED = 1
/** ONNX Runtime's profiler stops recording after a million events; and every run costs about 500 bytes per node. */
const MAX_EVENTS = 200_000
const KIB = 1024
const EVENTS = 'events'

export async function measure(
  input: MeasureInput,
  onProgress: (progress: BenchmarkProgress) => void,
): Promise<Measured> {
  const { structure, runs, options } = input
  const steps = new Steps(onProgress)
  const inputs = makeInputs(structure.inputs, SEED, structure.inputHints)
  const feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]))
  const plain = await timeWhole(input, feeds, steps)
  const peakRssBytes = process.resourceUsage().maxRSS * KIB
  const profiledRuns = Math.max(
    3,
    Math.min(runs, Math.floor(MAX_EVENTS / Math.max(1, structure.layers.length))),
  )
  const { times, nodes } = await profileNodes(input, feeds, profiledRuns, steps)
  const cpuMs = median(plain.cpuMs)
  const wallMs = median(plain.wallMs)
  const medianMs = options.threads > 1 ? wallMs : cpuMs
  const { layerMs, unmappedShare } = layerTimes(structure.layers, nodes, times, medianMs)
  steps.finish()
  return {
    method: describe(runs, profiledRuns, options, wallMs, unmappedShare),
    whole: { medianMs, samplesMs: plain.wallMs, cpuMs },
    layerMs,
    sessionCreateMs: plain.sessionCreateMs,
    peakRssBytes,
    measuredAt: new Date().toISOString(),
  }
}

function describe(
  runs: number,
  profiledRuns: number,
  { threads }: RuntimeOptions,
  wallMs: number,
  unmappedShare: number,
): string {
  const scale = threads > 1 ? 'wall time' : `CPU time (wall ${wallMs.toFixed(2)} ms)`
  const unmapped =
    unmappedShare > 0
      ? `; ${(100 * unmappedShare).toFixed(1)} % of the profiled time fits no layer and is spread over all`
      : ''
  return `median ${scale} of ${runs} runs, split by the shares of ${profiledRuns} profiled runs${unmapped}`
}

interface WholeTimes {
  sessionCreateMs: number
  wallMs: number[]
  cpuMs: number[]
}

async function timeWhole(
  { path: file, runs, options }: MeasureInput,
  feeds: Record<string, OrtTensor>,
  steps: Steps,
): Promise<WholeTimes> {
  steps.begin('load', 1)
  const before = performance.now()
  const session = await createSession(file, options)
  const sessionCreateMs = performance.now() - before
  const timer = cpuTimer(options.threads)
  const run = async () => {
    const cpuSinceMs = timer()
    const wallBefore = performance.now()
    await runOnce(session, feeds)
    return { wallMs: performance.now() - wallBefore, cpuMs: cpuSinceMs() }
  }
  await warmUp(run, runs, steps)
  steps.begin('measure', runs)
  const samples: { wallMs: number; cpuMs: number }[] = []
  for (let done = 0; done < runs; done++) {
    samples.push(await run())
    steps.tick()
  }
  await session.release()
  return {
    sessionCreateMs,
    wallMs: samples.map((sample) => sample.wallMs),
    cpuMs: samples.map((sample) => sample.cpuMs),
  }
}

async function runOnce(session: InferenceSession, feeds: Record<string, OrtTensor>): Promise<void> {
  try {
    await session.run(feeds)
  } catch (thrown) {
    throw runError(coerceError(thrown))
  }
}

const WINDOW = 5
const WARM_UP_RUNS = 40
const WARM_UP_MS = 3000

/** Until a window of runs is no faster than the best before: at least a third of `runs`, at most 40 runs or 3 s. */
async function warmUp(run: () => Promise<{ cpuMs: number }>, runs: number, steps: Steps): Promise<void> {
  const least = Math.ceil(runs / 3)
  steps.begin('warm up', Math.max(least, WARM_UP_RUNS))
  const end = performance.now() + WARM_UP_MS
  let best = Number.POSITIVE_INFINITY
  let window: number[] = []
  for (let done = 1; done <= Math.max(least, WARM_UP_RUNS); done++) {
    window.push((await run()).cpuMs)
    steps.tick()
    if (done >= least && performance.now() > end) return
    if (window.length < WINDOW) continue
    const figure = median(window)
    if (done >= least && figure > 0.97 * best) return
    best = Math.min(best, figure)
    window = []
  }
}

/** Runs with the profiler on. The first runs only warm the new session up. */
async function profileNodes(
  { path: file, structure, options, folder }: MeasureInput,
  feeds: Record<string, OrtTensor>,
  runs: number,
  steps: Steps,
): Promise<{ times: NodeTime[]; nodes: OptimisedNode[] }> {
  const skip = Math.ceil(runs / 3)
  steps.begin('profile', skip + runs)
  const model = nameNodesByLayer(file, structure.layers)
  const session = await InferenceSession.create(model, {
    ...savingOptions(folder, besideModel(file, sessionOptions(options))),
    enableProfiling: true,
    profileFilePrefix: path.join(folder, EVENTS),
  })
  for (let done = 0; done < skip + runs; done++) {
    await runOnce(session, feeds)
    steps.tick()
  }
  session.endProfiling()
  // It does not tell what it has called the file: the prefix, then the time.
  const written = fs.readdirSync(folder).find((name) => name.startsWith(EVENTS)) ?? EVENTS
  const text = fs.readFileSync(path.join(folder, written), 'utf8')
  await session.release()
  return { times: readEvents(text, skip + runs, skip), nodes: readOptimisedGraph(folder) }
}
