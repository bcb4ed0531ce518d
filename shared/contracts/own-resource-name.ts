/** Names that a resource of this system may have: those of machines elsewhere, which are only planned with, may be any. */
import { ResourceName } from './common.ts'

/** A resource keeps its files in a folder of its name. These stand beside it in the data folder of a system, or are services. */
const TAKEN = [
  'benchmark',
  'planner',
  'models',
  'incoming',
  'calibrations',
  'redis',
  'redis-memory',
  'systems',
] as const
/** Of a further system in the same folder. */
const FURTHER = /^port-base-\d+$/

const isFree = (name: string) => !FURTHER.test(name) && !TAKEN.some((taken) => taken === name)

export const OwnResourceName = ResourceName.refine(isFree, {
  error: ({ input }) =>
    `${String(input)} is the name of a service, or of what it keeps in the data folder: choose another one`,
})
