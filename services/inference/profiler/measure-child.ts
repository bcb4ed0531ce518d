/** `measure` as the job of a throw-away process (shared/limited-child.ts). */
import type { BenchmarkProgress } from '../../../shared/contracts/profile.ts'
import { type Measured, type MeasureInput, measure } from './measure.ts'

export function run(input: MeasureInput, report: (progress: BenchmarkProgress) => void): Promise<Measured> {
  return measure(input, report)
}
