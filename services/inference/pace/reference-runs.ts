/** Runs the reference network on the calling thread, which it blocks: in a thread or a process of its own. */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { median, sum } from '../../../shared/platform/statistics.ts'
import { referenceNetwork } from '../../../shared/zoo/reference-network.ts'
import { encodeModel } from '../../../shared/zoo/write.ts'
import { cpuTimer } from '../serving/executor/cpu-time.ts'
import { sessionOptions } from '../serving/executor/ort-session.ts'

export interface ReferenceTime {
  /** Time of a run with warm caches: CPU time, with several threads wall time. */
  cpuMs: number
  /** Wall time of all runs over their CPU time; 1 with several threads. */
  waiting: number
}

export interface Reference {
  /** Several runs in a row: long enough for other processes to come between. */
  sample: () => Promise<ReferenceTime>
  /** Fewer, beside runs of a model. */
  shortSample: () => Promise<ReferenceTime>
}

/** After the first run, which finds cold caches. */
const WARM_RUNS = 3
const SHORT_RUNS = 1
const WARM_UP = 5

/** @throws Error of ONNX Runtime. */
export async function openReference(threads: RuntimeOptions['threads']): Promise<Reference> {
  const graph = referenceNetwork()
  const session = await InferenceSession.create(
    await encodeModel(graph),
    sessionOptions({ threads, optimisation: 'all' }),
  )
  const elements = graph.input.shape.reduce((product, dim) => product * dim, 1)
  const values = Float32Array.from({ length: elements }, (_, i) => Math.sin(i))
  const feeds = { [graph.input.name]: new Tensor('float32', values, graph.input.shape) }
  const timer = cpuTimer(threads)
  const run = async () => {
    const cpu = timer()
    const before = performance.now()
    await session.run(feeds)
    const wallMs = performance.now() - before
    return { wallMs, cpuMs: threads > 1 ? wallMs : cpu() }
  }
  const sample = async (warmRuns: number): Promise<ReferenceTime> => {
    const times = [await run()]
    for (let made = 0; made < warmRuns; made++) times.push(await run())
    const cpuMs = sum(times.map((time) => time.cpuMs))
    const wallMs = sum(times.map((time) => time.wallMs))
    return {
      cpuMs: median(times.slice(1).map((time) => time.cpuMs)),
      // The clock of CPU time is read a little after that of the wall.
      waiting: Math.max(1, wallMs / Math.max(cpuMs, Number.EPSILON)),
    }
  }
  for (let made = 0; made < WARM_UP; made++) await run()
  return { sample: () => sample(WARM_RUNS), shortSample: () => sample(SHORT_RUNS) }
}
