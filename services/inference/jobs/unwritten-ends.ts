/**
 * What jobs came to whose end is not in the queue yet. A queue gives a job out again if its lock expired before Redis took the
 * end: then the work is not done a second time.
 */
import type { Job } from 'bullmq'
import { LRUCache } from 'lru-cache'

/** Identifies a job of any queue; the queue may give it out more than once. */
export type JobKey = Pick<Job, 'id' | 'queueName' | 'timestamp'>

/** One is worked at a time, so that there are hardly ever two. */
const MAX_COUNT = 100

export class UnwrittenEnds {
  readonly #ends = new LRUCache<string, Promise<string>>({ max: MAX_COUNT })

  /** @returns what the work of this job came to, before or now. @throws what the work throws. */
  endOf(job: JobKey, work: () => Promise<string>): Promise<string> {
    const key = keyOf(job)
    const before = this.#ends.get(key)
    if (before) return before
    const end = (async () => work())()
    this.#ends.set(key, end)
    return end
  }

  /** The end of this job is written. */
  written(job: JobKey): void {
    this.#ends.delete(keyOf(job))
  }
}

export const keyOf = ({ queueName, id, timestamp }: JobKey): string => `${queueName}.${id}.${timestamp}`
