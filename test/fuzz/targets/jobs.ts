/** Jobs that somebody else wrote into the queues: workers read them, and lists of benchmarks and calibrations show them. */
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import { CALIBRATION_JOB } from '../../../shared/contracts/calibration.ts'
import {
  PARENT_QUEUE,
  queueOptions,
  resourceQueue,
  withErrorHandler,
} from '../../../shared/platform/redis/queues.ts'
import { exampleModel, exampleStructure } from '../../support/fixtures.ts'
import { ask } from '../ask.ts'
import { startFuzzedSystem } from '../system.ts'
import { type Target, text } from '../target.ts'

const QUEUES = { parent: PARENT_QUEUE, fuzzed: resourceQueue('fuzzed') } as const
const MEASURE = 'measure'

const ids = { model: exampleModel().id, shapesKey: exampleStructure().shapesKey }
const parent = {
  ...ids,
  resources: ['fuzzed'],
  notes: ['made up'],
  fingerprint: '0'.repeat(16),
  createdAt: '2026-01-01T00:00:00.000Z',
  reused: { edge: { profile: 'p', measuredAt: '2026-01-01T00:00:00.000Z' } },
}
/** `QUEUE NAME FIELD`, then what stands in that field of the job. */
const SEEDS: [head: string, field: object][] = [
  [
    `fuzzed ${MEASURE} data`,
    { ...ids, benchmark: 'b', resource: 'fuzzed', runs: 3, options: { threads: 1 } },
  ],
  [`fuzzed ${CALIBRATION_JOB} data`, { calibration: 'c1' }],
  [`fuzzed ${MEASURE} progress`, { fraction: 0.5, step: 'measuring', remainingMs: 10 }],
  [
    `fuzzed ${MEASURE} opts`,
    { attempts: 2, backoff: { type: 'fixed', delay: 1 }, removeOnFail: { count: 9 } },
  ],
  [`parent benchmark data`, parent],
  [
    `parent benchmark returnvalue`,
    {
      cancelled: false,
      parts: [
        {
          resource: 'fuzzed',
          state: 'completed',
          progress: { fraction: 1, step: 'done' },
          profile: 'p',
        },
      ],
    },
  ],
]
const HEADS = SEEDS.map(([head]) => head)
/** Its workers take the jobs that they are given after a damaged one. */
const TAKEN_WITHIN_MS = 60_000
const LOOK_MS = 5
/** Longer than any input takes: the job is begun by `promote`. */
const DELAY_MS = 3_600_000

export const jobs: Target = {
  name: 'jobs',
  share: 1,
  sample: 15,
  deadlineMs: 2 * TAKEN_WITHIN_MS,
  growthBytes: 500 * 2 ** 20,
  firstLine: true,
  open: async () => {
    const system = await startFuzzedSystem()
    const { redis } = system.state
    const open = (name: string) => withErrorHandler(new Queue(name, queueOptions(redis)), name)
    const queues = { parent: open(QUEUES.parent), fuzzed: open(QUEUES.fuzzed) }
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    let count = 0

    const add = async (queue: Queue, name: string, field: string, content: Buffer): Promise<string> => {
      count += 1
      const jobId = `${'f'.repeat(16)}-${count.toString(16).padStart(8, '0')}`
      const job = await queue.add(name, parent, { jobId, delay: DELAY_MS })
      await redis.hset(`bull:${queue.name}:${jobId}`, field, content)
      await job.promote()
      return jobId
    }
    const remove = async (queue: Queue, jobId: string) => {
      for (const state of ['wait', 'active', 'delayed'] as const)
        await redis.lrem(`bull:${queue.name}:${state}`, 0, jobId).catch(() => 0)
      for (const state of ['completed', 'failed', 'delayed'])
        await redis.zrem(`bull:${queue.name}:${state}`, jobId)
      await redis.del(`bull:${queue.name}:${jobId}`, `bull:${queue.name}:${jobId}:lock`)
    }
    /** @throws Error if no worker takes a job that is in order. */
    const takesJobs = async (queue: Queue) => {
      const jobId = await add(queue, MEASURE, 'data', text(SEEDS[0]?.[1] ?? {}))
      const deadline = performance.now() + TAKEN_WITHIN_MS
      while (!['completed', 'failed'].includes(await queue.getJobState(jobId))) {
        if (performance.now() > deadline) throw new Error(`nobody takes jobs of ${queue.name} any more`)
        await sleep(LOOK_MS)
      }
      await remove(queue, jobId)
    }
    return {
      seeds: SEEDS.map(([head, field]) => Buffer.concat([Buffer.from(`${head}\n`), text(field)])),
      run: async (input) => {
        const at = input.indexOf(10)
        const head = Buffer.from(input.subarray(0, Math.max(0, at))).toString()
        const known = HEADS.includes(head) ? head : `fuzzed ${head.slice(0, 100).trim() || 'x'} data`
        const [queueName = '', name = '', field = ''] = known.split(' ')
        const queue = queueName === 'parent' ? queues.parent : queues.fuzzed
        const jobId = await add(queue, name || 'x', field || 'data', Buffer.from(input.subarray(at + 1)))
        for (const path of ['/v1/benchmarks', `/v1/benchmarks/${jobId}`, '/v1/calibrations'])
          await ask(
            {
              method: 'GET',
              url: `${system.urlOf('benchmark')}${path}`,
              headers: {},
              body: new Uint8Array(),
            },
            agent,
          )
        await takesJobs(queues.fuzzed)
        await remove(queue, jobId)
      },
      close: async () => {
        agent.destroy()
        try {
          await system.checkReady()
        } finally {
          await Promise.all(Object.values(queues).map((queue) => queue.close()))
          await system.close()
        }
      },
    }
  },
}
