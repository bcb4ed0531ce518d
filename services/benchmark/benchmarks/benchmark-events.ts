/**
 * Sends the progress of a benchmark as server-sent events. A BullMQ event only triggers a read: clients always get the
 * whole benchmark as it is now, so an event that is lost with a connection only causes a delay.
 */
import { EventEmitter } from 'node:events'
import { QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import {
  type EventStream,
  followStates,
  type StateEvent,
} from '../../../shared/platform/http-server/server-sent-events.ts'
import type { ClientStreams } from '../../../shared/platform/http-server/client-streams.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type BenchmarkQueues, promptly } from './benchmark-queues.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'
import { PARENT_QUEUE, resourceQueue, withErrorHandler } from '../../../shared/platform/redis/queues.ts'

/** Interval of reads that no event triggered, for events that BullMQ's stream dropped between two of its reads. */
const REREAD_MS = 2000

/** The event that tells of a benchmark as it is. */
export function eventOf(benchmark: Benchmark): StateEvent {
  if (isUnderWay(benchmark.state)) return { name: 'progress', data: benchmark, last: false }
  return { name: benchmark.state === 'completed' ? 'completed' : 'failed', data: benchmark, last: true }
}

/** Holds one BullMQ event connection per queue, shared by all event streams of this process. */
export class BenchmarkEvents {
  readonly clientStreams: ClientStreams
  readonly #queues: BenchmarkQueues
  readonly #connection: Redis
  readonly #log: Logger
  readonly #events = new Map<string, QueueEvents>()
  readonly #streams = new Set<EventStream>()
  /** Emits the id of a benchmark's parent or child job whenever that changed. One listener per stream. */
  readonly #changes = new EventEmitter<{ change: [jobId: string] }>().setMaxListeners(0)

  constructor(queues: BenchmarkQueues, connection: Redis, clientStreams: ClientStreams, log: Logger) {
    this.clientStreams = clientStreams
    this.#queues = queues
    this.#connection = connection
    this.#log = log
  }

  /** Sends `progress` until the benchmark ends, then `completed` or `failed` (also if cancelled), and ends the stream. */
  follow(benchmark: Benchmark, stream: EventStream): void {
    if (stream.closed.aborted) return
    const { id, parts } = benchmark
    for (const name of [PARENT_QUEUE, ...parts.map((part) => resourceQueue(part.resource))]) this.#open(name)
    this.#streams.add(stream)
    stream.closed.addEventListener('abort', () => this.#streams.delete(stream))
    const read = async () => {
      const now = await promptly(this.#queues.redis, () => readBenchmark(this.#queues, id))
      return now && eventOf(now)
    }
    void followStates(
      stream,
      read,
      () => this.#nextChange(id, stream.closed),
      // Redis is away for a moment: the next look tells more.
      (error) =>
        this.#log.debug({ err: error, benchmark: id }, 'a benchmark could not be read for its events'),
    )
  }

  /** Resolves with the next change of the benchmark or the end of the stream, at the latest after REREAD_MS. */
  #nextChange(id: string, closed: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#changes.off('change', onChange)
        closed.removeEventListener('abort', done)
        resolve()
      }
      const onChange = (jobId: string) => {
        if (jobId.startsWith(id)) done()
      }
      const timer = setTimeout(done, REREAD_MS)
      this.#changes.on('change', onChange)
      closed.addEventListener('abort', done)
    })
  }

  /** Number of open streams. */
  get followers(): number {
    return this.#streams.size
  }

  /** To be called before the server closes: it waits for open answers, and a stream may stay open for minutes. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#events.values()].map((events) => events.close()))
  }

  #open(queue: string): void {
    if (this.#events.has(queue)) return
    const events = withErrorHandler(
      new QueueEvents(queue, { connection: this.#connection }),
      queue,
      this.#log,
    )
    this.#events.set(queue, events)
    // An event may name no job: anybody can write to the stream that it comes from.
    const changed = ({ jobId }: { jobId?: string }) => void this.#changes.emit('change', jobId ?? '')
    for (const event of ['active', 'progress', 'completed', 'failed', 'removed'] as const)
      events.on(event, changed)
    // BullMQ stops reading at an event that is not JSON. Those behind it are lost, later ones are read again.
    events.on('error', (fault) => {
      if (fault instanceof SyntaxError) events.run().catch((error: Error) => events.emit('error', error))
    })
  }
}
