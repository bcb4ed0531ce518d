/** All that benchmarks need beside HTTP: their queues, this service's workers, the event feed. */
import type { BenchmarkConfig } from '../../../shared/platform/service/service-config.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { BenchmarkEvents } from './events.ts'
import { BenchmarkQueues } from './queues.ts'
import type { BenchmarkParts } from './benchmark-deps.ts'
import { startBenchmarkWorkers } from './workers.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'

export type BenchmarksConfig = Pick<
  BenchmarkConfig,
  'redisUrl' | 'redisKind' | 'heartbeatMs' | 'benchmarkTimeoutMs'
>

/** An orderly close takes a tenth of this. */
const CLOSE_MS = 2000

export interface Benchmarks {
  parts: BenchmarkParts
  events: BenchmarkEvents
  close: () => Promise<void>
}

/** @param state on a producer's connection; the workers get one of their own. */
export function openBenchmarks(config: BenchmarksConfig, state: State, log: Logger): Benchmarks {
  const connection = workerConnection(config.redisUrl, log)
  const queues = new BenchmarkQueues(state.redis, log)
  const events = new BenchmarkEvents(queues, connection, log)
  const parts: BenchmarkParts = {
    state,
    queues,
    heartbeatMs: config.heartbeatMs,
    benchmarkTimeoutMs: config.benchmarkTimeoutMs,
    standingNotes: config.redisKind === 'emulated' ? ['the queue runs on an emulated Redis'] : [],
    now: Date.now,
  }
  const workers = startBenchmarkWorkers(parts, connection, log)
  return {
    parts,
    events,
    close: async () => {
      // While Redis is away BullMQ's orderly close waits for a connection that does not come back (bullmq 6.7.0).
      const orderly = Promise.all([workers.close(), events.close()]).then(() => queues.close())
      await waitAtMost(orderly, CLOSE_MS, undefined)
      workers.disconnect()
      connection.disconnect()
    },
  }
}
