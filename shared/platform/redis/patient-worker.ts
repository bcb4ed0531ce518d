/**
 * A worker of a queue that does not take a refusal of Redis for the failure of a job: while Redis is full, read-only or wants
 * another password, the end of the job is written again and again. BullMQ would have the job fail with Redis' words, or wait so
 * long that the job is given out again meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Job, Worker } from 'bullmq'
import { coerceError } from '../errors.ts'
import { LOCK_DURATION_MS } from './queues.ts'
import { refusalOf } from './writable.ts'

const RETRY_MS = 250

export class PatientWorker extends Worker {
  protected override handleCompleted(...given: Parameters<Worker['handleCompleted']>): Promise<Job> {
    const [, job, token] = given
    return this.#untilWritten(job, token, () => super.handleCompleted(...given))
  }

  protected override handleFailed(...given: Parameters<Worker['handleFailed']>): Promise<Job> {
    const [, job, token] = given
    return this.#untilWritten(job, token, () => super.handleFailed(...given))
  }

  /** @throws what is no refusal; any error once the worker is being closed: then the job is given out again. */
  async #untilWritten(job: Job, token: string, write: () => Promise<Job>): Promise<Job> {
    for (;;) {
      try {
        return await write()
      } catch (thrown) {
        if (refusalOf(coerceError(thrown)) === undefined || this.closing !== undefined) throw thrown
      }
      await sleep(RETRY_MS)
      // The lock is not renewed any more once the work is done. Redis may refuse that too.
      await job.extendLock(token, LOCK_DURATION_MS).catch(() => undefined)
    }
  }
}
