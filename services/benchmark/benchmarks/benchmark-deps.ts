import type { State } from '../../../shared/platform/redis/state.ts'
import type { BenchmarkQueues } from './queues.ts'

/** What starting, watching and listing benchmarks work with. */
export interface BenchmarkParts {
  state: State
  queues: BenchmarkQueues
  heartbeatMs: number
  /** A part that shows no sign of life for this long fails alone. */
  benchmarkTimeoutMs: number
  /** Said with every benchmark, e.g. that Redis is emulated. */
  standingNotes: readonly string[]
  now: () => number
}
