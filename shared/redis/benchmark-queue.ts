/** Where the benchmark service and the inference services meet in Redis: names that both must spell alike. */

export const PARENT_QUEUE = 'benchmark'

/** The queue of benchmark jobs for one resource: it alone works it. */
export const resourceQueue = (resource: string): string => `${PARENT_QUEUE}.${resource}`

/** An inference service that finds this key gives up the benchmark's job it is working on. */
export const cancelKey = (benchmark: string): string => `scission:cancel:${benchmark}`
