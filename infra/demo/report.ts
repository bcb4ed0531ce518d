/** What one run of the demonstration found: printed as a story, written as JSON with --report. */
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { PlanAnswer, Plan } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link } from '../../shared/contracts/resource.ts'

/** A plan that was served and measured. */
export interface ServedPlan {
  deployment: string
  endpoint: string
  plan: Plan
  predictedMs: number
  /** Median over `samplesMs`, seen by the client. */
  measuredMs: number
  samplesMs: number[]
  maxAbsDiff: number
  maxAbsOutput: number
  agree: boolean
  /** The response parameters of the last request: times and bytes per hop. */
  parameters: Record<string, string | number | boolean>
}

export interface Report {
  ok: boolean
  model: Pick<UploadedModel, 'id' | 'name' | 'bytes' | 'layers' | 'cuts' | 'inputs' | 'outputs'>
  /** Of all inputs together, shapes fixed. */
  inputBytes: number
  redis: { kind: string; description: string }
  profiles: Profile[]
  links: Link[]
  /** The answer without constraints. */
  plans: PlanAnswer
  /** The answer with the first block kept on the device and another machine used; null when the model cannot be cut. */
  split: PlanAnswer | null
  native: Plan[]
  /** Of the plan that was deployed as the split. */
  predictedMs: number
  measuredMs: number
  maxAbsDiff: number
  maxAbsOutput: number
  /** True: speeds or links in these numbers were emulated; `notes` says which. */
  emulated: boolean
  notes: string[]
  raw: { served: ServedPlan[]; referenceRunMs: number[] }
}
