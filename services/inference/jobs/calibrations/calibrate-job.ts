/** `calibrate` as the job of a throw-away process (shared/platform/processes/limited-child.ts). */
import type { BenchmarkProgress } from '../../../../shared/contracts/job-progress.ts'
import { type Calibrated, type CalibrateInput, calibrate } from './run-calibration.ts'

export function run(
  input: CalibrateInput,
  report: (progress: BenchmarkProgress) => void,
): Promise<Calibrated> {
  return calibrate(input, report)
}
