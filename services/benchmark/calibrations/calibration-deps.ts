import type { State } from '../../../shared/platform/redis/state.ts'
import type { BenchmarkQueues } from '../benchmarks/queues.ts'
import type { Analyses } from '../models/analyses.ts'
import type { SampleFiles } from './samples.ts'

/** What calibrations work with. */
export interface CalibrationParts {
  state: State
  queues: BenchmarkQueues
  analyses: Pick<Analyses, 'structure'>
  samples: SampleFiles
  heartbeatMs: number
}
