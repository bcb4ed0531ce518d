import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Writable } from 'node:stream'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type OpenRedis, openRedis } from '../../infra/start/redis/open-redis.ts'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { hidePasswordOf } from '../../shared/platform/hidden-passwords.ts'
import { isAlive } from '../infra/processes/support.ts'
import { kill } from '../support/kill.ts'
import { withFolder } from '../support/folder.ts'

const { PATH } = process.env
const hasServer = (findOnPath('valkey-server') ?? findOnPath('redis-server')) !== undefined
if (!hasServer) console.log('skipped: no valkey-server or redis-server on the PATH to start privately')

const folder = withFolder('redis')
let opened: OpenRedis[] = []
let said: string
const log = pino(
  {},
  new Writable({
    write(line: Buffer, _encoding, done) {
      said += line.toString()
      done()
    },
  }),
)

beforeEach(() => {
  said = ''
})
afterEach(async () => {
  for (const redis of opened.reverse()) await redis.close()
  opened = []
})

async function open(env: NodeJS.ProcessEnv, dataDir?: string): Promise<OpenRedis> {
  const redis = await openRedis({ env, log, dataDir })
  opened.push(redis)
  return redis
}

async function ask<T>(url: string, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url)
  try {
    return await question(redis)
  } finally {
    redis.disconnect()
  }
}

describe('without any Redis on the machine', () => {
  it('an emulated one runs in a process of its own, is said to be one, and ends with close', async () => {
    const redis = await open({ PATH: '' })
    expect(redis).toMatchObject({ kind: 'emulated', description: expect.stringMatching(/emulated/) })
    expect(redis.pid).not.toBe(process.pid)
    expect(await ask(redis.url, (client) => client.ping())).toBe('PONG')
    expect(said.match(/emulated by/g)).toHaveLength(1)
    expect(redis.description).toContain(hidePasswordOf(redis.url))
    await redis.close()
    expect(isAlive(redis.pid)).toBe(false)
  })
})

describe.skipIf(!hasServer)('with a server on the PATH', () => {
  it('a private one is started, never evicts, is for this machine only, and ends with close', async () => {
    const redis = await open({ PATH })
    expect(redis.kind).toBe('private')
    expect(redis.url).toMatch(/^redis:\/\/:[\w-]{32}@127\.0\.0\.1:\d+$/)
    expect(redis.description).toContain(hidePasswordOf(redis.url))
    const setting = (name: string) => ask(redis.url, (client) => client.config('GET', name))
    expect(await setting('maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
    expect(await setting('bind')).toEqual(['bind', '127.0.0.1'])
    expect(await setting('appendonly')).toEqual(['appendonly', 'no'])
    expect(await setting('save')).toEqual(['save', ''])
    await redis.close()
    expect(isAlive(redis.pid)).toBe(false)
  })

  it('several systems at once each get their own', async () => {
    const urls = (await Promise.all([open({ PATH }), open({ PATH }), open({ PATH })])).map(({ url }) => url)
    expect(new Set(urls).size).toBe(3)
  })

  it('a data folder keeps what was stored, also when the server was killed', async () => {
    const dataDir = path.join(folder(), 'kept')
    const first = await open({ PATH }, dataDir)
    await ask(first.url, (client) => client.set('model', 'resnet50'))
    // Other users of the machine do not look into it.
    expect(statSync(dataDir).mode & 0o077).toBe(0)
    await first.close()
    const second = await open({ PATH }, dataDir)
    expect(await ask(second.url, (client) => client.get('model'))).toBe('resnet50')
    await ask(second.url, (client) => client.set('model', 'vgg16'))
    // Redis writes its file to disk once a second.
    await ask(second.url, (client) => client.call('WAITAOF', 1, 0, 5000)).catch(
      () => new Promise((resolve) => setTimeout(resolve, 1200)),
    )
    kill(second)
    await expect.poll(() => said).toMatch(/the private Redis .*SIGKILL|the private Redis ended with code 137/)
    const third = await open({ PATH }, dataDir)
    expect(await ask(third.url, (client) => client.get('model'))).toBe('vgg16')
  })

  it('a data folder in use is refused, naming who has it', async () => {
    const dataDir = path.join(folder(), 'used')
    const { pid } = await open({ PATH }, dataDir)
    await expect(open({ PATH }, dataDir)).rejects.toThrow(new RegExp(`in use by process ${pid} `))
  })

  it('a data folder that several systems begin to use at once is given to one of them', async () => {
    const dataDir = path.join(folder(), 'wanted')
    const begun = await Promise.allSettled([1, 2, 3].map(() => open({ PATH }, dataDir)))
    expect(begun.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
    for (const one of begun)
      if (one.status === 'rejected') expect(String(one.reason)).toMatch(/another system is being started/)
    // Afterwards it is in use, and then free.
    await expect(open({ PATH }, dataDir)).rejects.toThrow(/in use by process/)
    await opened.pop()?.close()
    await open({ PATH }, dataDir)
  })

  it('a claim on a data folder is no obstacle once its owner is gone, or it is old', async () => {
    const dataDir = path.join(folder(), 'claimed')
    mkdirSync(dataDir)
    const claim = path.join(dataDir, 'starting')
    writeFileSync(claim, `${process.pid}\n`)
    await expect(open({ PATH }, dataDir)).rejects.toThrow(`remove ${claim}`)
    utimesSync(claim, new Date(0), new Date(0))
    await (await open({ PATH }, dataDir)).close()
    writeFileSync(claim, `${spawnSync(process.execPath, ['-e', '']).pid}\n`)
    await open({ PATH }, dataDir)
  })

  it('a server that ends leaves the note of the one that followed it', async () => {
    const dataDir = path.join(folder(), 'followed')
    const first = await open({ PATH }, dataDir)
    const note = path.join(dataDir, 'in-use.json')
    const followers = JSON.stringify({ url: 'redis://127.0.0.1:1', pid: 1 })
    writeFileSync(note, followers)
    await first.close()
    expect(readFileSync(note, 'utf8')).toBe(followers)
  })

  it('a server that cannot start is an error with its own words', async () => {
    const dataDir = path.join(folder(), 'broken')
    mkdirSync(path.join(dataDir, 'appendonlydir'), { recursive: true })
    writeFileSync(path.join(dataDir, 'appendonlydir', 'appendonly.aof.manifest'), 'nonsense\n')
    await expect(open({ PATH }, dataDir)).rejects.toThrow(/redis-server|valkey-server/)
    await expect(open({ PATH }, dataDir)).rejects.toThrow(/ended with code 1; its last lines:[\s\S]*manifest/)
  })
})

describe('with REDIS_URL', () => {
  it('that server is used, and not stopped', async () => {
    const running = await open({ PATH: '' })
    const redis = await open({ REDIS_URL: running.url, PATH: '' })
    expect(redis.url).toBe(running.url)
    expect(redis.description).toContain(`at ${hidePasswordOf(running.url)} (from REDIS_URL)`)
    await redis.close()
    expect(await ask(running.url, (client) => client.ping())).toBe('PONG')
  })

  it('an emulated one is still said to be emulated, a real one external', async () => {
    const emulated = await open({ PATH: '' })
    expect((await open({ REDIS_URL: emulated.url })).kind).toBe('emulated')
    if (!hasServer) return
    const real = await open({ PATH })
    expect((await open({ REDIS_URL: real.url })).kind).toBe('external')
    expect((await open({ REDIS_URL: real.url, SCISSION_REDIS_KIND: 'private' })).kind).toBe('private')
  })

  it.skipIf(!hasServer)('one that may evict keys is warned about', async () => {
    const real = await open({ PATH })
    await ask(real.url, (client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'))
    await open({ REDIS_URL: real.url })
    expect(said).toMatch(/maxmemory-policy allkeys-lru.*noeviction/)
  })

  it('one that does not answer is an error that says what to do, without the password', async () => {
    const failing = openRedis({ env: { REDIS_URL: 'redis://user:secret@127.0.0.1:1', PATH }, log })
    await expect(failing).rejects.toMatchObject({ code: 'queueUnavailable' })
    await expect(failing).rejects.toThrow(/does not answer: .*ECONNREFUSED.*unset it/)
    await expect(failing).rejects.not.toThrow(/secret/)
  })

  it('that is not a Redis URL is refused', async () => {
    const failing = openRedis({ env: { REDIS_URL: '127.0.0.1:6379' }, log })
    await expect(failing).rejects.toMatchObject({ code: 'badRequest' })
  })
})
