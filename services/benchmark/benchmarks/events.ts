/**
 * A benchmark as a stream of events. BullMQ's own events only say that something changed; what a client gets is
 * always the whole benchmark, read anew, so that an event lost with a connection costs nothing but time.
 */
import { QueueEvents } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import type { EventStream } from '../../../shared/platform/http-server/server-sent-events.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type BenchmarkQueues } from './queues.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'
import {
  PARENT_QUEUE,
  resourceQueue,
  eventsOptions,
  withErrorHandler,
} from '../../../shared/platform/redis/queues.ts'

/** Read this often in any case: an event that fell between two reads of BullMQ's stream is caught up. */
const REREAD_MS = 2000

/** One event connection per queue, shared by all streams of this process. */
export class BenchmarkEvents {
  readonly #queues: BenchmarkQueues
  readonly #connection: Redis
  readonly #log: Logger
  readonly #events = new Map<string, QueueEvents>()
  readonly #streams = new Set<EventStream>()
  /** Called with the id of a benchmark's parent or child job. */
  readonly #listeners = new Set<(jobId: string) => void>()

  constructor(queues: BenchmarkQueues, connection: Redis, log: Logger) {
    this.#queues = queues
    this.#connection = connection
    this.#log = log
  }

  /** Sends progress until the benchmark ends: then `completed`, or `failed` (also when cancelled), and the end. */
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

  /** How many streams are being fed. */
  get followers(): number {
    return this.#streams.size
  }

  /** Before the server closes: it waits for answers under way, and a stream is one that may take minutes. */
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

/** Reads one benchmark at a time; a change during a read causes exactly one more. */
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
        // Redis is away: the client reconnects by itself and gets the state of then.
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
