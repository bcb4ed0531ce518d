/**
 * This product counts on this behaviour of BullMQ and the Redis below it. It is shown on every Redis there is here. The
 * emulated one passes the same tests as a real one, or it could not stand in for it.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  FlowProducer,
  type Job,
  type Processor,
  Queue,
  QueueEvents,
  UnrecoverableError,
  Worker,
} from 'bullmq'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { ManagedProcess } from '../../infra/start/processes/process.ts'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { createLog } from '../../shared/platform/log.ts'
import { producerConnection, workerConnection } from '../../shared/platform/redis/connections.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { QUICK_RECOVERY } from './quick-recovery.ts'
import { TEST_SERVERS } from './servers.ts'
import {
  MAX_STALLED_COUNT,
  queueOptions,
  withErrorHandler,
  workerOptions,
} from '../../shared/platform/redis/queues.ts'
import { kill } from '../support/kill.ts'

const log = createLog('test', 'silent')

describe.each(TEST_SERVERS)('on $name', ({ open, skip }) => {
  describe.skipIf(skip)('BullMQ', () => {
    let server: OpenRedis
    let producer: Redis
    let consumer: Redis
    /** Closed after each test, workers before queues. */
    let opened: { close: () => Promise<void> }[] = []
    let name: string

    beforeAll(async () => {
      server = await open()
      producer = producerConnection(server.url)
      consumer = workerConnection(server.url)
    })
    afterAll(async () => {
      producer.disconnect()
      consumer.disconnect()
      await server.close()
    })
    afterEach(async () => {
      for (const one of opened.reverse()) await one.close()
      opened = []
    })

    function remember<T extends Queue | Worker | QueueEvents | FlowProducer>(made: T): T {
      opened.push({ close: () => made.close() })
      return withErrorHandler(made, 'test')
    }

    /** A queue of its own for each test: the server may be somebody's. */
    function openQueue(queueName = `test-${randomUUID()}`): Queue {
      name = queueName
      const queue = new Queue(queueName, queueOptions(producer))
      opened.push({ close: () => queue.obliterate({ force: true }) })
      return remember(queue)
    }

    function work(processor: Processor, options: object = {}, queueName = name): Worker {
      return remember(new Worker(queueName, processor, { ...workerOptions(consumer), ...options }))
    }

    async function events(queueName = name): Promise<QueueEvents> {
      // From the first event on: one that comes before the first read would be lost, and waited for in vain.
      const made = remember(new QueueEvents(queueName, { connection: consumer, lastEventId: '0-0' }))
      await made.waitUntilReady()
      return made
    }

    const until = (condition: () => unknown, timeout = PATIENCE_MS) =>
      expect.poll(condition, { timeout, interval: 50 }).toBeTruthy()

    it('runs a flow: the parent after its children, with their results and their failures', async () => {
      const child = openQueue().name
      const parent = openQueue().name
      const flows = remember(new FlowProducer(queueOptions(producer)))
      const order: string[] = []
      work(
        async (job) => {
          order.push(job.name)
          if (job.name === 'edge') throw new UnrecoverableError('edge is on fire')
          return { resource: job.name }
        },
        {},
        child,
      )
      work(
        async (job) => {
          order.push(job.name)
          const results = Object.values(await job.getChildrenValues())
          const failures = Object.values(await job.getIgnoredChildrenFailures())
          return { results, failures }
        },
        {},
        parent,
      )
      const opts = { ignoreDependencyOnFailure: true }
      const flow = await flows.add({
        name: 'whole',
        queueName: parent,
        children: ['device', 'edge', 'cloud'].map((part) => ({ name: part, queueName: child, opts })),
      })
      const whole = await flow.job.waitUntilFinished(await events(parent), PATIENCE_MS)
      expect(order.at(-1)).toBe('whole')
      expect(whole.failures).toEqual(['edge is on fire'])
      expect(whole.results).toHaveLength(2)
      expect(whole.results).toEqual(expect.arrayContaining([{ resource: 'device' }, { resource: 'cloud' }]))
    })

    it('runs a delayed job when its time has come, not before, and others meanwhile', async () => {
      const queue = openQueue()
      const ran: string[] = []
      work(async (job) => ran.push(job.name))
      const late = await queue.add('late', {}, { delay: 700 })
      await queue.add('soon', {})
      await until(() => ran.length === 2)
      expect(ran).toEqual(['soon', 'late'])
      const { processedOn = 0 } = (await queue.getJob(late.id ?? '')) ?? {}
      // Producer and server round to whole milliseconds apart from each other: one may go missing between them.
      expect(processedOn - late.timestamp).toBeGreaterThanOrEqual(699)
    })

    it('tells progress while a job runs, in order, to those who listen', async () => {
      const queue = openQueue()
      const heard: unknown[] = []
      const listener = await events()
      listener.on('progress', ({ data }) => heard.push(data))
      work(async (job) => {
        for (const fraction of [0.25, 0.5, 1]) await job.updateProgress({ fraction })
      })
      const job = await queue.add('benchmark', {})
      await job.waitUntilFinished(listener, PATIENCE_MS)
      await until(() => heard.length === 3)
      expect(heard).toEqual([{ fraction: 0.25 }, { fraction: 0.5 }, { fraction: 1 }])
      expect((await queue.getJob(job.id ?? ''))?.progress).toEqual({ fraction: 1 })
    })

    it('tries a failed job again, each time after a longer wait, then gives up with the reason', async () => {
      const queue = openQueue()
      const starts: number[] = []
      work(async () => {
        starts.push(Date.now())
        throw new Error(`attempt ${starts.length}`)
      })
      const job = await queue.add('x', {}, { attempts: 3, backoff: { type: 'exponential', delay: 150 } })
      await until(() => job.isFailed())
      const [first = 0, second = 0, third = 0] = starts
      expect(starts).toHaveLength(3)
      // Less one: see the delayed job.
      expect(second - first).toBeGreaterThanOrEqual(149)
      expect(third - second).toBeGreaterThanOrEqual(299)
      const failed = await queue.getJob(job.id ?? '')
      expect(failed).toMatchObject({ failedReason: 'attempt 3', attemptsMade: 3 })
    })

    it('does not try again what cannot succeed', async () => {
      const queue = openQueue()
      work(async () => {
        throw new UnrecoverableError('no such model')
      })
      const job = await queue.add('x', {}, { attempts: 5 })
      await until(() => job.isFailed())
      expect(await queue.getJob(job.id ?? '')).toMatchObject({
        failedReason: 'no such model',
        attemptsMade: 1,
      })
    })

    it('gives the job of a killed worker to another one', async () => {
      const queue = openQueue()
      const doomed = new ManagedProcess({
        name: 'doomed worker',
        entry: new URL('./entries/worker.ts', import.meta.url),
        args: [server.url, name],
        log,
      })
      let taken: string | undefined
      doomed.onMessage((message) => {
        const told = z.object({ took: z.string() }).safeParse(message)
        if (told.success) taken = told.data.took
      })
      await doomed.whenReady()
      const job = await queue.add('benchmark', {})
      await until(() => taken === job.id)
      kill(doomed)
      await doomed.exited

      const ran: (string | undefined)[] = []
      work(async ({ id }) => ran.push(id), QUICK_RECOVERY)
      await until(() => job.isCompleted())
      expect(ran).toEqual([job.id])
    })

    it('fails a job that keeps losing its worker', async () => {
      const queue = openQueue()
      let taken = 0
      let release = () => undefined as void
      const released = new Promise<void>((resolve) => {
        release = resolve
      })
      // Never finishes and never renews its lock: to the queue its worker is dead, five times over.
      const lost = async () => {
        taken += 1
        await released
      }
      work(lost, { ...QUICK_RECOVERY, skipLockRenewal: true, concurrency: 5 })
      const job = await queue.add('poison', {})
      await until(() => job.isFailed())
      expect(taken).toBe(1 + MAX_STALLED_COUNT)
      expect((await queue.getJob(job.id ?? ''))?.failedReason).toMatch(/stalled more than/)
      release()
    })

    it('takes the same job once while it is under way, and again afterwards', async () => {
      const queue = openQueue()
      const add = () => queue.add('analyse', {}, { deduplication: { id: 'model-shapes' } })
      const [first, second] = [await add(), await add()]
      expect(second.id).toBe(first.id)
      expect(await queue.getWaitingCount()).toBe(1)
      work(() => Promise.resolve())
      await until(() => first.isCompleted())
      expect((await add()).id).not.toBe(first.id)
    })

    it('keeps to a rate limit', async () => {
      const queue = openQueue()
      work(() => Promise.resolve(), { concurrency: 4, limiter: { max: 2, duration: 500 } })
      await queue.addBulk(Array.from({ length: 6 }, (_, index) => ({ name: String(index), data: {} })))
      await until(async () => (await queue.getCompletedCount()) === 6)
      const starts = (await queue.getCompleted()).map(({ processedOn = 0 }) => processedOn)
      // Six jobs, two per window: the last one starts in the third window.
      expect(Math.max(...starts) - Math.min(...starts)).toBeGreaterThanOrEqual(500)
    })

    it('runs every job of a batch of a thousand once', { timeout: 4 * PATIENCE_MS }, async () => {
      const queue = openQueue()
      const runs = new Map<number, number>()
      const batch = Array.from({ length: 1000 }, (_, number) => ({ name: 'part', data: { number } }))
      await queue.addBulk(batch)
      work(
        async (job: Job<{ number: number }>) => {
          runs.set(job.data.number, (runs.get(job.data.number) ?? 0) + 1)
        },
        // The emulated Redis takes 10 ms for a step of a job: with many more at once, each would be held for
        // longer than its lock lasts on a busy machine, and then a job is rightly run again.
        { concurrency: 10 },
      )
      // Asking the queue all the while would keep it from its work.
      await until(() => runs.size === 1000, 3 * PATIENCE_MS)
      await until(async () => (await queue.getCompletedCount()) === 1000)
      expect([...runs.values()].every((count) => count === 1)).toBe(true)
    })

    it('lets a running job be cancelled by a flag from another process, and takes the next one', async () => {
      const queue = openQueue()
      const flag = `scission:cancel:${name}`
      let running = false
      work(async (job) => {
        if (job.name === 'next') return 'done'
        running = true
        while ((await producer.exists(flag)) === 0) await sleep(20)
        throw new UnrecoverableError('cancelled')
      })
      const cancelled = await queue.add('benchmark', {}, { attempts: 3 })
      const next = await queue.add('next', {})
      await until(() => running)
      await producer.set(flag, 1, 'EX', 60)
      await until(() => next.isCompleted())
      expect((await queue.getJob(cancelled.id ?? ''))?.failedReason).toBe('cancelled')
      await producer.del(flag)
    })

    it('removes a waiting job that is no longer wanted', async () => {
      const queue = openQueue()
      const unwanted = await queue.add('unwanted', {})
      await queue.add('wanted', {})
      await unwanted.remove()
      const ran: string[] = []
      work(async (job) => ran.push(job.name))
      await until(() => ran.length > 0)
      await sleep(100)
      expect(ran).toEqual(['wanted'])
    })
  })
})
