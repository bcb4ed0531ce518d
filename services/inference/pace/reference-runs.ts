/** Runs the reference network on the calling thread, which it blocks: in a thread or a process of its own. */
import path from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { makeFolder } from '../../../shared/platform/make-folder.ts'
import { median, sum } from '../../../shared/platform/statistics.ts'
import { REFERENCE_INPUT } from '../../../shared/contracts/pace-network.ts'
import { cpuTimer } from '../serving/executor/cpu-time.ts'
import { sessionOptions } from '../serving/executor/ort-session.ts'

export interface ReferenceTime {
  /** Time of a run with warm caches: CPU time, with several threads wall time. */
  cpuMs: number
  /** Wall time of all runs over their CPU time; 1 with several threads. */
  waiting: number
}

export interface Reference {
  /**
   * Several runs in a row.
   * @param leastMs CPU time that they take together at least: on a machine whose cores are all busy a millisecond is let in
   * at once, and only longer work shows what sharing costs. @defaultValue 0
   */
  sample: (leastMs?: number) => Promise<ReferenceTime>
}

const ELEMENTS = REFERENCE_INPUT.reduce<number>((product, dim) => product * dim, 1)

/** Another process may be making the file, or a crash of the machine may have damaged it: then it is made again. */
async function openSession(file: string, options: RuntimeOptions): Promise<InferenceSession> {
  const settings = sessionOptions(options)
  try {
    return await InferenceSession.create(file, settings)
  } catch {
    const { referenceNetwork } = await import('../../../shared/zoo/reference-network.ts')
    const { writeModel } = await import('../../../shared/zoo/write.ts')
    await makeFolder(path.dirname(file))
    await writeModel(referenceNetwork(), file, {})
    return await InferenceSession.create(file, settings)
  }
}

/** After the first run, which finds cold caches. */
const WARM_RUNS = 3
const WARM_UP = 5
/** In a sample, however quick the machine is. */
const MOST_RUNS = 100

/**
 * @param file where the network is kept: made by the first that needs it, since making it takes longer than opening it.
 * @throws Error of ONNX Runtime or of the disk.
 */
export async function openReference(threads: RuntimeOptions['threads'], file: string): Promise<Reference> {
  const session = await openSession(file, { threads, optimisation: 'all' })
  const [input = ''] = session.inputNames
  const values = Float32Array.from({ length: ELEMENTS }, (_, i) => Math.sin(i))
  const feeds = { [input]: new Tensor('float32', values, REFERENCE_INPUT) }
  const timer = cpuTimer(threads)
  const run = async () => {
    const cpu = timer()
    const before = performance.now()
    await session.run(feeds)
    const wallMs = performance.now() - before
    return { wallMs, cpuMs: threads > 1 ? wallMs : cpu() }
  }
  const sample = async (leastMs = 0): Promise<ReferenceTime> => {
    const times = [await run()]
    const spentMs = () => sum(times.map((time) => time.cpuMs))
    while (times.length <= WARM_RUNS || (spentMs() < leastMs && times.length < MOST_RUNS))
      times.push(await run())
    const cpuMs = spentMs()
    const wallMs = sum(times.map((time) => time.wallMs))
    return {
      cpuMs: median(times.slice(1).map((time) => time.cpuMs)),
      // The clock of CPU time is read a little after that of the wall.
      waiting: Math.max(1, wallMs / Math.max(cpuMs, Number.EPSILON)),
    }
  }
  for (let made = 0; made < WARM_UP; made++) await run()
  return { sample }
}
