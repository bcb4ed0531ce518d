/** The job that analyse-child.ts runs in its child process. */
import type { Structure } from '../../contracts/model.ts'
import { analyse, type AnalyseRequest } from './analyse.ts'

export function run(request: AnalyseRequest): Promise<Structure> {
  return analyse(request)
}
