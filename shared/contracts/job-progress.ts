/** States and progress of jobs. */
import { z } from 'zod'
import { ms } from './common.ts'

export const BenchmarkProgress = z.object({
  /** 0..1 */
  fraction: z.number().min(0).max(1),
  step: z.string(),
  remainingMs: ms.optional(),
})
export type BenchmarkProgress = z.infer<typeof BenchmarkProgress>

/** Equal for all jobs that one client has asked for, and says nothing else of it. */
export const JobAsker = z.string()

export const JOB_STATES = ['waiting', 'active', 'completed', 'failed', 'cancelled'] as const
