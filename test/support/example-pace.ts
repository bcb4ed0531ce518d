/** A pace for tests: the reference network takes 1 ms, ± 10 %. */
import type { Pace, Spread } from '../../shared/contracts/pace.ts'
import { REFERENCE_NETWORK } from '../../shared/contracts/pace-network.ts'

/** @param factor of all its times. @param waiting of other processes: requests take so many times as long. */
export function examplePace(
  resource: string,
  { factor = 1, waiting = 1, ...more }: Partial<Pace> & { factor?: number; waiting?: number } = {},
): Pace {
  return {
    resource,
    network: REFERENCE_NETWORK,
    threads: 1,
    cpuMs: exampleSpread(factor),
    requestMs: exampleSpread(factor * waiting),
    samples: { idle: 60, served: 0 },
    spanMs: 60_000,
    otherCores: 0,
    byLoad: [],
    measuredAt: new Date(0).toISOString(),
    ...more,
  }
}

export const exampleSpread = (median: number): Spread => ({
  median,
  low: 0.9 * median,
  high: 1.1 * median,
  medianLow: 0.97 * median,
  medianHigh: 1.03 * median,
})
