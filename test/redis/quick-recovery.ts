/**
 * The recovery settings of `workerOptions`, four times as fast, for tests that wait for them. All workers of a
 * queue.
 */
import { LOCK_DURATION_MS, LOCK_RENEW_MS, STALLED_INTERVAL_MS } from '../../shared/platform/redis/queues.ts'

export const QUICK_RECOVERY = {
  lockDuration: LOCK_DURATION_MS / 4,
  lockRenewTime: LOCK_RENEW_MS / 4,
  stalledInterval: STALLED_INTERVAL_MS / 4,
}
