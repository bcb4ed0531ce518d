/** Opens what benchmarks need besides HTTP: their queues, this service's workers, and the event streams. */
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import type { BenchmarkConfig } from '../../../shared/platform/service/service-config.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { BenchmarkEvents } from './benchmark-events.ts'
import { type BenchmarkDeps, BenchmarkQueues } from './benchmark-queues.ts'
import { startBenchmarkWorkers } from './benchmark-workers.ts'

export type BenchmarksConfig = Pick<
  BenchmarkConfig,
  'redisUrl' | 'redisKind' | 'heartbeatMs' | 'benchmarkTimeoutMs'
>

/** Maximum ms for an orderly close, which usually takes a tenth of this. */
const CLOSE_MS = 2000

export interface Benchmarks {
  deps: BenchmarkDeps
  events: BenchmarkEvents
  close: () => Promise<void>
}

/** @param state uses a producer's connection; the workers get a connection of their own. */
export function openBenchmarks(config: BenchmarksConfig, state: State, log: Logger): Benchmarks {
  const connection = workerConnection(config.redisUrl, log)
  const queues = new BenchmarkQueues(state.redis, log)
  const events = new BenchmarkEvents(queues, connection, log)
  const deps: BenchmarkDeps = {
    state,
    queues,
    heartbeatMs: config.heartbeatMs,
    benchmarkTimeoutMs: config.benchmarkTimeoutMs,
    standingNotes: config.redisKind === 'emulated' ? ['the queue runs on an emulated Redis'] : [],
    now: Date.now,
  }
  const workers = startBenchmarkWorkers(deps, connection, log)
  return {
    deps,
    events,
    close: async () => {
      // If Redis is unreachable, BullMQ 6.7.0 waits for its connection for ever during an orderly close.
      const orderly = Promise.all([workers.close(), events.close()]).then(() => queues.close())
      await waitAtMost(orderly, CLOSE_MS, undefined)
      workers.disconnect()
      connection.disconnect()
    },
  }
}
