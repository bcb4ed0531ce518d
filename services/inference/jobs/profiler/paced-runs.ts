/** Runs of the reference network between those of a model: how the model's profile relates to the machine's pace. */
import type { ProfilePace } from '../../../../shared/contracts/pace.ts'
import { REFERENCE_NETWORK } from '../../../../shared/contracts/pace-network.ts'
import type { Reference } from '../../pace/reference-runs.ts'
import { medianRatio } from './paired-ratios.ts'

/** Runs of the reference network before and after a run of the whole model belong to it if no more time lies between. */
const BESIDE = { wholes: 4, ms: 50 }

/** The reference network, run after each run of the whole model: the machine's pace at that moment. */
export class PacedRuns {
  readonly #reference: Reference
  readonly #samples: { atMs: number; cpuMs: number; ratio: number }[] = []

  constructor(reference: Reference) {
    this.#reference = reference
  }

  async sample(wholeMs: number): Promise<void> {
    const { cpuMs } = await this.#reference.sample()
    const atMs = performance.now()
    const before = this.#samples.at(-1)
    const isBeside = before && atMs - before.atMs < BESIDE.wholes * wholeMs + BESIDE.ms
    const around = isBeside ? (before.cpuMs + cpuMs) / 2 : cpuMs
    this.#samples.push({ atMs, cpuMs, ratio: wholeMs / around })
  }

  /** @param wholeMs the figure of the profile. */
  pace(wholeMs: number, threads: number): ProfilePace {
    const { ratio, error } = medianRatio(this.#samples.map((sample) => sample.ratio))
    return { network: REFERENCE_NETWORK, threads, ms: wholeMs / ratio, error }
  }

  times(): { agoMs: number; cpuMs: number }[] {
    const now = performance.now()
    return this.#samples.map(({ atMs, cpuMs }) => ({ agoMs: now - atMs, cpuMs }))
  }
}
