/** Where the benchmark service and the inference services meet in Redis: names that both must spell alike. */

export const PARENT_QUEUE = 'benchmark'

/** The queue of benchmark jobs for one resource: it alone works it. */
export const resourceQueue = (resource: string): string => `${PARENT_QUEUE}.${resource}`

/** An inference service that finds this key gives up the benchmark's job it is working on. */
export const cancelKey = (benchmark: string): string => `scission:cancel:${benchmark}`

/** The same for one resource's part alone: it was given up from here, whatever its worker still does. Holds the reason. */
export const stopKey = (benchmark: string, resource: string): string =>
  `scission:stop:${benchmark}.${resource}`
