/**
 * Timed runs under the conditions of a service that answers one request at a time: a pause before each run, and the
 * outputs' memory freed after it.
 *
 * Without the pause a run finds its weights in the caches and takes less time than in an executor between two requests. The
 * pause stands for the rest of a request, on the network and on other resources. For a small model the rest is short as
 * well, and a longer pause gives times that are too high.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { coerceError } from '../../../../shared/platform/errors.ts'
import { type CpuTimer, cpuTimer } from '../../serving/executor/cpu-time.ts'
import { freeBuffers } from '../../messages/buffer-memory.ts'
import { runError } from '../../serving/executor/run-error.ts'

export type Feeds = Record<string, OrtTensor>

export interface RunTime {
  wallMs: number
  cpuMs: number
}

/**
 * The pause is a quarter of a run, within bounds: chosen on ten networks of 1.5 to 60 ms. Their split requests over services
 * on loopback were then met within 5 %; a pause of 5 ms for all gave up to 14 % too much (docs/results.md).
 */
const PAUSE_PART = 0.25
const MIN_PAUSE_MS = 1
const MAX_PAUSE_MS = 5
/** Limit for emulated machines, so that a profile of a large model ends in time; its weights fit into no cache anyway. */
const MAX_EMULATED_PAUSE_MS = 100

/** Pause in ms before a run of a model that takes `runMs` on this machine, without emulation. */
export function pauseOf(runMs: number): number {
  return Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, PAUSE_PART * runMs))
}

export class Runner {
  /** Pause before each run; set by `pauseAs` once the time of a run is known. */
  pauseMs = MIN_PAUSE_MS
  readonly #timer: CpuTimer
  readonly #threads: number
  readonly #never = new Int32Array(new SharedArrayBuffer(4))

  constructor(threads: number) {
    this.#threads = threads
    this.#timer = cpuTimer(threads)
  }

  /**
   * Sets the pause for runs of `runMs`. An emulated machine waits (slowdown − 1) times the run after it, and its caches
   * cool accordingly.
   */
  pauseAs(slowdown: number, runMs: number): void {
    this.pauseMs = Math.min(MAX_EMULATED_PAUSE_MS, Math.max(pauseOf(runMs), (slowdown - 1) * runMs))
  }

  /** The time that counts: CPU time for one thread, since other processes do not lengthen it; else wall time. */
  figure({ wallMs, cpuMs }: RunTime): number {
    return this.#threads > 1 ? wallMs : cpuMs
  }

  /** Runs a session once. @param then uses the outputs before their memory is freed. */
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
