/**
 * The pace of a machine: how long a fixed small network takes on it now and then. A profile says how a model's layers
 * relate to that network; the pace says how fast the machine is today, and how much that moves.
 */
import { z } from 'zod'
import { ms, ResourceName, timestamp } from './common.ts'

const positiveMs = ms.positive()

/** A time that moves. All in ms. */
export const Spread = z.object({
  median: positiveMs,
  /** 95 % of single values lie between these. */
  low: positiveMs,
  high: positiveMs,
  /** The median of the next minute lies between these in 95 % of cases. */
  medianLow: positiveMs,
  medianHigh: positiveMs,
})
export type Spread = z.infer<typeof Spread>

/** CPU time that the process may use in each period, on all cores together: a quota of its control group. */
export const CpuQuota = z.object({ quotaMs: positiveMs, periodMs: positiveMs })
export type CpuQuota = z.infer<typeof CpuQuota>

/** How work uses up a quota: a process that always computes is stopped once in each period, for period − quota. */
export const QuotaSeen = z.object({
  /**
   * Stops per quota's worth of CPU time of stages: 0 for a process that pauses long enough, 1 for one that always computes
   * stages, more if requests cost much beside them.
   */
  share: z.number().nonnegative().max(1e9),
  /** How long a stop took on average: one that pauses uses the quota up later in the period. */
  stopMs: ms,
})
export type QuotaSeen = z.infer<typeof QuotaSeen>

/** What belongs to a number of cores that other processes kept busy. */
export const PaceUnderLoad = z.object({
  otherCores: z.number().int().nonnegative(),
  samples: z.number().int().positive(),
  requestMs: Spread,
})
export type PaceUnderLoad = z.infer<typeof PaceUnderLoad>

export const Pace = z.object({
  resource: ResourceName,
  /** The reference network, and the threads that it ran with: only times of the same are compared. */
  network: z.string(),
  threads: z.number().int().positive(),
  /** CPU time of a run; with several threads wall time. This is what a profile's `pace.ms` is compared with. */
  cpuMs: Spread,
  /**
   * The same as a request waits for it, divided by the slowdown that the resource emulates: other processes share the
   * cores. Without the stops of a quota.
   */
  requestMs: Spread,
  /** Runs of the reference network while idle, and runs of served stages, divided by their share of it. */
  samples: z.object({ idle: z.number().int().nonnegative(), served: z.number().int().nonnegative() }),
  /** Time over which they were taken. */
  spanMs: ms,
  /** Cores that other processes keep busy now: Linux only. */
  otherCores: z.number().nonnegative().max(1e6).optional(),
  quota: CpuQuota.optional(),
  /** What the load of the last half minute met of it; absent if it has not worked enough. */
  quotaSeen: QuotaSeen.optional(),
  /**
   * What a request costs here beside the run of its stage: receiving and reading the message, waking the thread that runs it, writing the
   * answer. Measured in each served request; before there were any, a message to itself.
   */
  callMs: Spread.optional(),
  /** The effect of other load as it was measured here within the last hour, by whole cores. */
  byLoad: z.array(PaceUnderLoad),
  measuredAt: timestamp,
})
export type Pace = z.infer<typeof Pace>

/** How a profile relates to the reference network. */
export const ProfilePace = z.object({
  network: z.string(),
  threads: z.number().int().positive(),
  /** Time of a run of it at the pace that the profile's figures are of. */
  ms: positiveMs,
  /** Half the width of the 95 % interval of the ratio between both, as a fraction. */
  error: z.number().nonnegative().max(1e9),
})
export type ProfilePace = z.infer<typeof ProfilePace>
