/** A Redis whose password is replaced while services run: on the server, and in the file that they read it from. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freePorts } from '../../infra/start/ports.ts'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import { Secret } from '../../shared/platform/access/secret.ts'
import { Changes, CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import {
  producerConnection,
  type RedisAccess,
  workerConnection,
} from '../../shared/platform/redis/connections.ts'
import { queueOptions, withErrorHandler, workerOptions } from '../../shared/platform/redis/queues.ts'
import { refusalOfConnection } from '../../shared/platform/redis/refused-password.ts'
import { checkWritable } from '../../shared/platform/redis/writable.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { JSON_TYPE } from '../support/json-type.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { startServiceProcess } from '../support/service-process.ts'
import { REAL_SERVER } from './persistent-server.ts'

const skip = REAL_SERVER === undefined
if (skip) console.log('skipped: a Redis whose password changes: no valkey-server or redis-server on the PATH')

const FIRST = 'first-not-to-be-printed'
const SECOND = 'second/@:%not-to-be-printed'
const folder = withFolder('password')
const closing: (() => unknown)[] = []

let port = 0
let data = ''
let server: ChildProcess
let file = ''

beforeEach(async ({ task }) => {
  if (skip) return
  ;[port = 0] = await freePorts(1)
  data = path.join(folder(), task.id)
  mkdirSync(data)
  file = path.join(data, 'password')
  replaceFile(FIRST)
  await startServer(FIRST)
})
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
  if (!skip) await stopServer()
})

/** As a careful operator does: whole, and never readable by others. */
function replaceFile(text: string): void {
  writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

async function startServer(password: string): Promise<void> {
  const at = ['--bind', '127.0.0.1', '--port', String(port), '--dir', data]
  const kept = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always']
  server = spawn(REAL_SERVER ?? '', [...at, ...kept, '--requirepass', password], { stdio: 'ignore' })
  await asAdministrator(password, (redis) => eventually(() => redis.ping()))
}

async function stopServer(): Promise<void> {
  const ended = once(server, 'exit')
  server.kill()
  await ended
}

async function asAdministrator<T>(password: string, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ port, host: '127.0.0.1', password, maxRetriesPerRequest: null })
  redis.on('error', () => undefined)
  try {
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

/** Everybody has to come back with the new one. */
const changePassword = (from: string, to: string) =>
  asAdministrator(from, async (redis) => {
    await redis.config('SET', 'requirepass', to)
    await killClients(redis)
  })

async function killClients(redis: Redis): Promise<void> {
  for (const type of ['normal', 'pubsub'] as const)
    await redis.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
}

/** Waits for attempts to connect with a wrong password, while the server has the second one. */
async function moreRefusals(count: number): Promise<void> {
  const refusals = async () => {
    const stats = await asAdministrator(SECOND, (redis) => redis.info('errorstats'))
    return Number(/errorstat_WRONGPASS:count=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  const before = await refusals()
  await eventually(async () => expect(await refusals()).toBeGreaterThanOrEqual(before + count))
}

const settings = (url = `redis://127.0.0.1:${port}`): RedisAccess =>
  readConfig(PLANNER_SETTINGS, { REDIS_URL: url, SCISSION_REDIS_PASSWORD_FILE: file })

/** What services have: requests, a subscription, a queue with its worker and its events. */
function users(access: RedisAccess) {
  const { log, lines } = recordedLog()
  const producer = producerConnection(access, log)
  const consumer = workerConnection(access, log)
  const changes = new Changes(producer)
  const heard: string[] = []
  changes.on('error', () => undefined)
  changes.on('change', ({ id }) => heard.push(id))
  const queue = withErrorHandler(new Queue('work', queueOptions(producer)), 'work', log)
  const ran: string[] = []
  const work = ({ name }: { name: string }) => Promise.resolve(ran.push(name))
  const worker = withErrorHandler(new Worker('work', work, workerOptions(consumer)), 'work', log)
  const events = withErrorHandler(
    new QueueEvents('work', { connection: consumer, lastEventId: '0' }),
    'work',
    log,
  )
  const completed: string[] = []
  events.on('completed', ({ jobId }) => completed.push(jobId))
  closing.push(async () => {
    changes.close()
    await Promise.all([worker.close(), events.close(), queue.close()])
    producer.disconnect()
    consumer.disconnect()
  })
  return { producer, queue, ran, completed, heard, lines, log }
}

/** Adds a job and announces a change, and waits for both. */
async function expectAllWork(
  { producer, queue, ran, completed, heard }: ReturnType<typeof users>,
  name: string,
) {
  const { id } = await eventually(() => queue.add(name, {}, { jobId: name }))
  await eventually(async () => {
    await producer.publish(CHANGES_CHANNEL, JSON.stringify({ kind: 'models', id: name }))
    expect(heard).toContain(name)
  })
  await eventually(() => expect(ran).toContain(name))
  await eventually(() => expect(completed).toContain(id))
}

describe.skipIf(skip)('connections whose password is in a file', () => {
  it('come back with the new one, also those that subscribe and that wait for jobs', async () => {
    const all = users(settings())
    await expectAllWork(all, 'before')
    replaceFile(SECOND)
    await changePassword(FIRST, SECOND)
    await expectAllWork(all, 'after')
    // A second time: what is read is not only what was there first.
    replaceFile(FIRST)
    await changePassword(SECOND, FIRST)
    await expectAllWork(all, 'again')
    expect(all.lines.join('\n')).not.toMatch(/not-to-be-printed/)
  })

  it('do so as a user of their own', async () => {
    const allow = (password: string) => (redis: Redis) =>
      redis.acl('SETUSER', 'scission', 'on', 'resetpass', `>${password}`, '~*', '&*', '+@all')
    await asAdministrator(FIRST, allow(FIRST))
    const all = users(settings(`redis://scission@127.0.0.1:${port}`))
    await expectAllWork(all, 'before')
    replaceFile(SECOND)
    await asAdministrator(FIRST, async (redis) => {
      await allow(SECOND)(redis)
      await killClients(redis)
    })
    await expectAllWork(all, 'after')
  })

  it('say once that they are refused, and try until the file is right', async () => {
    const all = users(settings())
    await expectAllWork(all, 'before')
    await changePassword(FIRST, SECOND)
    // The file stands in the log alone.
    const reason = 'Redis refuses the user or the password of SCISSION_REDIS_PASSWORD_FILE'
    await eventually(() =>
      expect(checkWritable(all.producer)).rejects.toMatchObject({
        code: 'queueUnavailable',
        message: reason,
      }),
    )
    await moreRefusals(20)
    const told = all.lines.filter((line) => line.includes(`${reason} (${file})`))
    // By the connection of requests and by that of jobs.
    expect(told).toHaveLength(2)
    replaceFile(SECOND)
    await expectAllWork(all, 'after')
    await checkWritable(all.producer)
    expect(all.lines.join('\n')).not.toMatch(/not-to-be-printed/)
  })

  it('lose no job of a Redis that is started again with another one', async () => {
    const producer = producerConnection(settings())
    const queue = withErrorHandler(new Queue('work', queueOptions(producer)), 'work')
    await eventually(() => queue.add('before', {}, { jobId: 'before' }))
    await stopServer()
    await startServer(SECOND)
    const all = users(settings())
    await eventually(() =>
      expect(checkWritable(all.producer)).rejects.toThrow(/refuses the user or the password/),
    )
    replaceFile(SECOND)
    await eventually(() => expect(all.ran).toContain('before'))
    await expectAllWork(all, 'after')
    await eventually(() => producer.ping())
    await queue.close()
    producer.disconnect()
  })

  it('lose no job that ends while they are refused', async () => {
    const { log } = recordedLog()
    const consumer = workerConnection(settings(), log)
    let runs = 0
    let end = () => {}
    const ended = new Promise<void>((resolve) => (end = resolve))
    const work = () => {
      runs += 1
      return ended
    }
    const worker = withErrorHandler(new Worker('long', work, workerOptions(consumer)), 'long', log)
    const producer = producerConnection(settings(), log)
    const queue = withErrorHandler(new Queue('long', queueOptions(producer)), 'long', log)
    closing.push(async () => {
      await Promise.all([worker.close(), queue.close()])
      consumer.disconnect()
      producer.disconnect()
    })
    const { id = '' } = await eventually(() => queue.add('long', {}))
    await eventually(() => expect(runs).toBe(1))
    await changePassword(FIRST, SECOND)
    end()
    await eventually(() => expect(refusalOfConnection(consumer)).toBeDefined())
    // What could not be written of the job was among what they refused.
    await moreRefusals(6)
    replaceFile(SECOND)
    await eventually(async () => expect(await (await queue.getJob(id))?.getState()).toBe('completed'))
  })

  it('use what they had if the file cannot be read, which is said once', async () => {
    const { log, lines } = recordedLog()
    const redis = producerConnection(settings(), log)
    closing.push(() => redis.disconnect())
    await eventually(() => redis.ping())
    renameSync(file, `${file}.away`)
    for (let round = 0; round < 2; round += 1) {
      await asAdministrator(FIRST, killClients)
      await eventually(() => redis.ping())
    }
    const away = lines.filter((line) => line.includes('the password that was read last is used'))
    expect(away).toEqual([expect.stringContaining('SCISSION_REDIS_PASSWORD_FILE')])
  })

  it('have none that never changes if it is no file', () => {
    const password = Secret.from('SCISSION_REDIS_PASSWORD', { SCISSION_REDIS_PASSWORD: FIRST })
    expect([password?.now(() => undefined), password?.setting, String(password)]).toEqual([
      FIRST,
      'SCISSION_REDIS_PASSWORD',
      '***',
    ])
  })
})

describe.skipIf(skip)('services', () => {
  const readyz = async ({ url }: ManagedProcess) => {
    const answer = await fetch(`${url}/readyz`)
    return { status: answer.status, ...((await answer.json()) as { reason?: string; warnings?: string[] }) }
  }

  it('say why they are not ready while the password is another one, and go on with the new one', async () => {
    const env = {
      REDIS_URL: `redis://127.0.0.1:${port}`,
      SCISSION_REDIS_PASSWORD_FILE: file,
      SCISSION_DATA: path.join(data, 'data'),
    }
    const services = await Promise.all(
      (['benchmark', 'planner', 'inference'] as const).map((service) => startServiceProcess(service, env)),
    )
    const [benchmark, planner, inference] = services as [ManagedProcess, ManagedProcess, ManagedProcess]
    closing.push(() => Promise.all(services.map((service) => service.stop())))
    for (const service of services)
      await eventually(async () => expect(await readyz(service)).toEqual({ status: 200, ready: true }))
    await stopServer()
    await startServer(SECOND)
    const reason = 'Redis refuses the user or the password of SCISSION_REDIS_PASSWORD_FILE'
    for (const service of [benchmark, planner])
      await eventually(async () =>
        expect(await readyz(service)).toEqual({ status: 503, ready: false, reason }),
      )
    const asked = {
      start: [`${benchmark.url}/v1/benchmarks`, '{"model":"m"}'],
      list: [`${benchmark.url}/v1/models`],
      link: [`${planner.url}/v1/links/a/b`, '{"rttMs":1,"bandwidthMbps":1}', 'PUT'],
    }
    for (const [url = '', body, method = body === undefined ? 'GET' : 'POST'] of Object.values(asked)) {
      const answer = await fetch(url, { method, headers: JSON_TYPE, ...(body !== undefined && { body }) })
      expect([url, answer.status, await answer.json()]).toEqual([
        url,
        503,
        { error: { code: 'queueUnavailable', message: reason } },
      ])
    }
    // It serves what it has loaded without Redis.
    await eventually(async () =>
      expect(await readyz(inference)).toMatchObject({
        status: 200,
        warnings: [expect.stringContaining(reason) as unknown],
      }),
    )
    replaceFile(SECOND)
    for (const service of services)
      await eventually(async () => expect(await readyz(service)).toEqual({ status: 200, ready: true }))
    await Promise.all(services.map((service) => service.stop()))
    const exits = await Promise.all(services.map(({ exited }) => exited))
    const printed = exits.flatMap(({ lastLines }) => lastLines).join('\n')
    expect(printed).toContain(`${reason} (${file})`)
    expect(printed).not.toMatch(/not-to-be-printed/)
  })
})
