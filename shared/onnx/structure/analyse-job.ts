/** What the child of analyse-child.ts runs. */
import type { Structure } from '../../contracts/model.ts'
import { analyse, type AnalyseRequest } from './analyse.ts'

export function run(request: AnalyseRequest): Promise<Structure> {
  return analyse(request)
}
