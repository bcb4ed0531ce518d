/** `measure` as the job of a throw-away process (shared/platform/processes/limited-child.ts). */
import os from 'node:os'
import type { BenchmarkProgress } from '../../../../shared/contracts/profile.ts'
import { type Measured, type MeasureInput, measure } from './measure-model.ts'

export function run(input: MeasureInput, report: (progress: BenchmarkProgress) => void): Promise<Measured> {
  // Before any thread of the runtime is there, which inherit it: where cores are short, serving goes first.
  os.setPriority(os.constants.priority.PRIORITY_LOW)
  return measure(input, report)
}
