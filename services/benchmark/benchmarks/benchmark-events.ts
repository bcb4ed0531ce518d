/**
 * Sends the progress of a benchmark as server-sent events. A BullMQ event only triggers a read: clients always get the
 * whole benchmark as it is now, so an event that is lost with a connection only causes a delay.
 */
import { QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import type { EventStream } from '../../../shared/platform/http-server/server-sent-events.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type BenchmarkQueues } from './benchmark-queues.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'
import {
  PARENT_QUEUE,
  resourceQueue,
  eventsOptions,
  withErrorHandler,
} from '../../../shared/platform/redis/queues.ts'

/** Interval of reads that no event triggered, for events that BullMQ's stream dropped between two of its reads. */
const REREAD_MS = 2000

/** Holds one BullMQ event connection per queue, shared by all event streams of this process. */
export class BenchmarkEvents {
  readonly #queues: BenchmarkQueues
  readonly #connection: Redis
  readonly #log: Logger
  readonly #events = new Map<string, QueueEvents>()
  readonly #streams = new Set<EventStream>()
  /** Each is called with the id of a benchmark's parent or child job. */
  readonly #listeners = new Set<(jobId: string) => void>()

  constructor(queues: BenchmarkQueues, connection: Redis, log: Logger) {
    this.#queues = queues
    this.#connection = connection
    this.#log = log
  }

  /** Sends `progress` until the benchmark ends, then `completed` or `failed` (also if cancelled), and ends the stream. */
  follow(benchmark: Benchmark, stream: EventStream): void {
    const follower = new Follower(this.#queues, benchmark.id, stream, this.#log)
    const listener = (jobId: string) => {
      if (jobId.startsWith(benchmark.id)) follower.wake()
    }
    for (const name of [PARENT_QUEUE, ...benchmark.parts.map((part) => resourceQueue(part.resource))])
      this.#open(name)
    this.#listeners.add(listener)
    this.#streams.add(stream)
    const timer = setInterval(() => follower.wake(), REREAD_MS)
    stream.closed.addEventListener('abort', () => {
      this.#listeners.delete(listener)
      this.#streams.delete(stream)
      clearInterval(timer)
    })
    follower.wake()
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
    const events = withErrorHandler(new QueueEvents(queue, eventsOptions(this.#connection)), queue, this.#log)
    this.#events.set(queue, events)
    const changed = ({ jobId }: { jobId: string }) => {
      for (const listener of this.#listeners) listener(jobId)
    }
    events.on('active', changed)
    events.on('progress', changed)
    events.on('completed', changed)
    events.on('failed', changed)
    events.on('removed', changed)
  }
}

/** Reads a benchmark whenever it changed and sends it; changes during a read cause exactly one more read. */
class Follower {
  readonly #queues: BenchmarkQueues
  readonly #id: string
  readonly #stream: EventStream
  readonly #log: Logger
  #reading = false
  #again = false
  #sent = ''

  constructor(queues: BenchmarkQueues, id: string, stream: EventStream, log: Logger) {
    this.#queues = queues
    this.#id = id
    this.#stream = stream
    this.#log = log
  }

  wake(): void {
    this.#again = true
    if (this.#reading) return
    this.#reading = true
    this.#readAll().then(
      () => {
        this.#reading = false
      },
      (error: unknown) => {
        // Redis is unreachable. The client reconnects by itself and gets the state at that time.
        this.#log.debug({ err: error, benchmark: this.#id }, 'an event stream ends early')
        this.#stream.end()
      },
    )
  }

  async #readAll(): Promise<void> {
    while (this.#again && !this.#stream.closed.aborted) {
      this.#again = false
      const benchmark = await readBenchmark(this.#queues, this.#id)
      if (!benchmark) return this.#stream.end()
      this.#report(benchmark)
    }
  }

  #report(benchmark: Benchmark): void {
    const text = JSON.stringify(benchmark)
    if (text === this.#sent) return
    this.#sent = text
    if (isUnderWay(benchmark.state)) {
      this.#stream.send('progress', benchmark)
      return
    }
    this.#stream.send(benchmark.state === 'completed' ? 'completed' : 'failed', benchmark)
    this.#stream.end()
  }
}
