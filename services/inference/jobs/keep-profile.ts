/** Keeps what was measured, through outages of Redis: a measurement takes minutes, a restart of Redis seconds. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job } from 'bullmq'
import type { Profile } from '../../../shared/contracts/profile.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

const RETRY_MS = 250
/** After this the outage is an error of its own, and the job fails with it. */
const PATIENCE_MS = 120_000
const REMEMBER_SECONDS = 24 * 3600

/** A job of the queue, whichever benchmark it is of: it may be given out more than once. */
export type JobKey = Pick<Job, 'id' | 'queueName' | 'timestamp'>

const doneKey = ({ queueName, id, timestamp }: JobKey) => `scission:measured:${queueName}.${id}.${timestamp}`

/** Stores the profile and remembers that this job made it. @throws what Redis said last. */
export async function keepProfile(
  state: State,
  job: JobKey,
  profile: Profile,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const giveUpAt = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      await state.profiles.put(profile.id, profile)
      // What serving said was said of the profile before it.
      await state.served.delete(profile.id)
      await state.redis.set(doneKey(job), profile.id, 'EX', REMEMBER_SECONDS)
      return
    } catch (thrown) {
      const error = coerceError(thrown)
      if (Date.now() > giveUpAt || signal.aborted) throw error
      log.debug({ err: error, job: job.id }, 'the profile is stored once Redis is back')
      await sleep(RETRY_MS)
    }
  }
}

/**
 * The id of the profile that this job made already: its worker lost it after the measurement, with its life or with
 * Redis, and the queue has given it out again.
 */
export async function keptProfile(state: State, job: JobKey): Promise<string | undefined> {
  const id = await state.redis.get(doneKey(job))
  return id !== null && (await state.profiles.has(id)) ? id : undefined
}
