/** Runtime options of a stage: part of the plan when a resource has profiles with several. */
import type { RuntimeOptions } from '../../contracts/resource.ts'

/** Two that say nothing are the same. */
export function sameOptions(a: RuntimeOptions | undefined, b: RuntimeOptions | undefined): boolean {
  return a?.threads === b?.threads && a?.optimisation === b?.optimisation
}

/** ` with 4 threads, all`, or nothing. */
export function optionsText(options: RuntimeOptions | undefined): string {
  return options ? ` with ${options.threads} threads, ${options.optimisation}` : ''
}
