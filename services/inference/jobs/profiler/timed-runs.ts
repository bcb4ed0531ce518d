/**
 * Timed runs as a service makes them when it answers one request at a time: a pause before each run, and the outputs'
 * memory given back after it.
 *
 * Without the pause a run finds its weights in the caches and reads low; with it, what is measured here comes nearer
 * to what an executor takes between two requests. The pause is where the rest of a request is: on the network, on the
 * other resources. Of a small model both are short, and a longer pause reads too high.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { coerceError } from '../../../../shared/platform/errors.ts'
import { type CpuTimer, cpuTimer } from '../../serving/executor/cpu-time.ts'
import { freeBuffers } from '../../messages/buffer-memory.ts'
import { runError } from '../../serving/executor/ort-errors.ts'

export type Feeds = Record<string, OrtTensor>

export interface RunTime {
  wallMs: number
  cpuMs: number
}

/**
 * A quarter of a run, within bounds: chosen on ten networks of 1.5 to 60 ms, whose split requests over services on loopback
 * it met within 5 % where 5 ms for all read up to 14 % too high (docs/results.md). A longer one reads higher.
 */
const PAUSE_PART = 0.25
const SHORTEST_PAUSE_MS = 1
const USUAL_PAUSE_MS = 5
/** Of slower machines, so that a profile of a large model ends in time; its weights fit into no cache anyway. */
const LONGEST_PAUSE_MS = 100

/** Before a run of a model that takes `runMs` on this machine, as its own: ms */
export function pauseOf(runMs: number): number {
  return Math.min(USUAL_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, PAUSE_PART * runMs))
}

export class Runner {
  /** Before each run; `pauseAs` once it is known how long that takes. */
  pauseMs = SHORTEST_PAUSE_MS
  readonly #timer: CpuTimer
  readonly #threads: number
  readonly #never = new Int32Array(new SharedArrayBuffer(4))

  constructor(threads: number) {
    this.#threads = threads
    this.#timer = cpuTimer(threads)
  }

  /**
   * An emulated machine waits after each run, (slowdown − 1) times as long as the run took, and its next run finds the
   * caches accordingly.
   */
  pauseAs(slowdown: number, runMs: number): void {
    this.pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(pauseOf(runMs), (slowdown - 1) * runMs))
  }

  /** The figure that counts: CPU time of a single thread, which other processes do not lengthen; else wall time. */
  figure({ wallMs, cpuMs }: RunTime): number {
    return this.#threads > 1 ? wallMs : cpuMs
  }

  /** @param then what to do with the outputs before their memory is given back. */
  async run(
    session: InferenceSession,
    feeds: Feeds,
    pauseMs = this.pauseMs,
    then?: (outputs: Feeds) => Promise<void>,
  ): Promise<RunTime> {
    if (pauseMs > 0) Atomics.wait(this.#never, 0, 0, pauseMs)
    const cpuSinceMs = this.#timer()
    const before = performance.now()
    let outputs: Feeds
    try {
      outputs = await session.run(feeds)
    } catch (thrown) {
      throw runError(coerceError(thrown))
    }
    const time = { wallMs: performance.now() - before, cpuMs: cpuSinceMs() }
    await then?.(outputs)
    freeBuffers(Object.values(outputs).flatMap(({ data }) => (Array.isArray(data) ? [] : [data.buffer])))
    return time
  }
}
