/** What the pace of a machine has to do with the figures of a plan. */
import { z } from 'zod'
import { ms, ResourceName } from './common.ts'

export const PaceOfPlan = z.object({
  resource: ResourceName,
  /** Samples behind it, and the time over which they were taken. */
  samples: z.number().int().nonnegative(),
  spanMs: ms,
  /** Typical CPU time now over that at the time of the profile: 1.2 = 20 % slower. */
  sinceProfile: z.number().positive(),
  /** How the machine's own pace moves: 95 % of single times are within, as fractions of the typical one. */
  below: z.number().min(0).max(1),
  above: z.number().nonnegative(),
  /** Typical wall time over CPU time: what other work on the machine costs a request. Without the stops of a quota. */
  waiting: z.number().positive(),
  /** Typical ms of a request here beside the run of its stage, which every stage is charged, and a source without layers. */
  callMs: ms.optional(),
  /** Cores that other processes keep busy. */
  otherCores: z.number().nonnegative().optional(),
  /** CPU quota of the service in cores, and how many times longer stages take for it. */
  quotaCores: z.number().positive().optional(),
  stops: z.number().min(1).optional(),
  /** ms for which a request is stopped if it meets the end of the quota; 0 if it hardly ever does. */
  stopMs: ms.optional(),
})
export type PaceOfPlan = z.infer<typeof PaceOfPlan>
