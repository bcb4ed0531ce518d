/** The result of one demonstration run. It is printed step by step, and written as JSON with --report. */
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { PlanAnswer, Plan } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link } from '../../shared/contracts/resource.ts'
import type { OpenRedis } from '../start/redis/open-redis.ts'
import type { Verification } from '../../shared/contracts/verification.ts'
import type { Difference } from './compare.ts'

/** A plan that was served and measured, and how far its outputs are from those of the unsplit model. */
export interface ServedPlan extends Difference {
  deployment: string
  /** What the planner found before the deployment became ready. */
  verification: Verification | undefined
  endpoint: string
  /** Predicted right before it was served. */
  plan: Plan
  predictedMs: number
  /** Requests of `samplesMs` inside the plan's interval for one request, and whether their median is. */
  inside: number
  held: boolean
  /** Median of `samplesMs`, as seen by the client. */
  measuredMs: number
  samplesMs: number[]
  /** The response parameters of the last request: times and bytes per hop. */
  parameters: Record<string, string | number | boolean>
}

export interface Report {
  ok: boolean
  model: Pick<UploadedModel, 'id' | 'name' | 'bytes' | 'layers' | 'cuts' | 'inputs' | 'outputs'>
  /** Bytes of all inputs together, with fixed shapes. */
  inputBytes: number
  redis: Pick<OpenRedis, 'kind' | 'description'>
  profiles: Profile[]
  links: Link[]
  /** The plans without constraints. */
  plans: PlanAnswer
  /** The plans with the first block kept on the device and at least two machines; null if the model cannot be cut. */
  split: PlanAnswer | null
  /** How many of the served plans took as long as predicted. */
  predictions: { held: number; of: number }
  native: Plan[]
  /** Prediction for the plan that was deployed last. */
  predictedMs: number
  measuredMs: number
  maxAbsDiff: number
  maxAbsOutput: number
  /** True if speeds or links in these numbers were emulated; `notes` names them. */
  emulated: boolean
  notes: string[]
  raw: { served: ServedPlan[]; referenceRunMs: number[] }
}
