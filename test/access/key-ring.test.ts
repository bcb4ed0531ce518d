/** What a service knows of keys while Redis answers, is silent, or is away; and by whose clock keys expire. */
import { describe, expect, it, vi } from 'vitest'
import type { KeyRecord } from '../../shared/contracts/key.ts'
import { KeyRing } from '../../shared/platform/access/key-ring.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { formatToken, hashOf, newToken } from '../../shared/platform/access/token.ts'
import { ScissionError } from '../../shared/platform/errors.ts'

const AWAY = () => Promise.reject(new Error('Connection is closed.'))
const SILENT = () => new Promise<never>(() => undefined)

/** A ring whose Redis does as it is told. */
function ring(more: Partial<KeyRecord> = {}) {
  const token = newToken()
  const record: KeyRecord = {
    id: token.id,
    kind: 'client',
    name: 'camera',
    hash: hashOf(token.secret),
    publicKey: 'x'.repeat(43),
    createdAt: new Date(0).toISOString(),
    createdBy: 'test',
    ...more,
  }
  const redis = { nowMs: 0, reads: 0, answer: (): Promise<KeyRecord | undefined> => Promise.resolve(record) }
  const keys = new KeyRing({
    name: 'edge',
    systemKey: () => key,
    read: () => {
      redis.reads += 1
      return redis.answer()
    },
    now: () => redis.nowMs,
  })
  return { keys, redis, record, text: formatToken(token) }
}
const key = SystemKey.read(newSystemKey(), 'test')
const NOT_VALID = expect.objectContaining({ code: 'unauthenticated' }) as unknown

describe('a ring of keys', () => {
  it('knows whose a token is, and what that one may do', async () => {
    const { keys, text, record } = ring({ infer: ['net*'], read: false })
    const who = await keys.identify(text)
    expect(who).toMatchObject({ kind: 'client', id: record.id, name: 'camera', read: false })
    const infer = who.kind === 'client' && who.infer !== 'all' ? who.infer : []
    expect(['net', 'network', 'xnet', 'ne'].filter((name) => infer.some((one) => one.test(name)))).toEqual([
      'net',
      'network',
    ])
  })

  it('asks Redis once for many requests at the same time', async () => {
    const { keys, text, redis } = ring()
    await Promise.all(Array.from({ length: 50 }, () => keys.identify(text)))
    expect(redis.reads).toBe(1)
  })

  it('lets in who was known when Redis went, and says of others that they cannot be looked up', async () => {
    const { keys, text, redis } = ring()
    await keys.identify(text)
    redis.answer = AWAY
    expect(await keys.identify(text)).toMatchObject({ name: 'camera' })
    const other = formatToken(newToken())
    await expect(keys.identify(other)).rejects.toMatchObject({ code: 'queueUnavailable' })
    redis.answer = SILENT
    await expect(keys.identify(other)).rejects.toMatchObject({ code: 'queueUnavailable' })
    expect(await keys.identify(text)).toMatchObject({ name: 'camera' })
  })

  it('forgets nobody for a flood of made-up ids while Redis is away', async () => {
    const { keys, text, redis } = ring()
    await keys.identify(text)
    redis.answer = AWAY
    const invented = Array.from({ length: 10_001 }, () => keys.identify(formatToken(newToken())))
    expect(new Set((await Promise.allSettled(invented)).map(({ status }) => status))).toEqual(
      new Set(['rejected']),
    )
    expect(await keys.identify(text)).toMatchObject({ name: 'camera' })
  })

  it('does not take a made-up id for known after it was not found', async () => {
    const { keys, redis } = ring()
    redis.answer = () => Promise.resolve(undefined)
    const made = formatToken(newToken())
    await expect(keys.identify(made)).rejects.toEqual(NOT_VALID)
    await expect(keys.identify(made)).rejects.toEqual(NOT_VALID)
  })

  it('takes no record of a key for true that is from before it was revoked, also long after', async () => {
    const { keys, text, redis, record } = ring()
    await keys.identify(text)
    const later = (ms: number) => vi.spyOn(performance, 'now').mockReturnValue(performance.now() + ms)
    redis.answer = () => Promise.resolve({ ...record, revokedAt: new Date(1).toISOString() })
    later(3000)
    await expect(keys.identify(text)).rejects.toEqual(NOT_VALID)
    redis.answer = () => Promise.resolve(record)
    later(3000)
    await expect(keys.identify(text)).rejects.toEqual(NOT_VALID)
    vi.restoreAllMocks()
  })

  it('goes by the clock of Redis: one that is an hour off here lets nobody in and keeps nobody out', async () => {
    const { keys, text, redis } = ring({ expiresAt: new Date(1000).toISOString() })
    redis.nowMs = 999
    expect(await keys.identify(text)).toMatchObject({ name: 'camera' })
    redis.nowMs = 1000
    await expect(keys.identify(text)).rejects.toEqual(NOT_VALID)
  })

  it('says the same of everything that does not hold', async () => {
    const { keys, redis, record } = ring()
    const said = new Set<string>()
    const wrong = formatToken({ ...newToken(), id: record.id })
    for (const text of [
      '',
      'x',
      'scn_a_b',
      wrong,
      formatToken(newToken()),
      `scn_resource-edge_${'A'.repeat(43)}`,
    ]) {
      redis.answer = () => Promise.resolve(text === wrong ? record : undefined)
      const thrown: unknown = await keys.identify(text).catch((error: unknown) => error)
      said.add(thrown instanceof ScissionError ? `${thrown.code}: ${thrown.message}` : 'let in')
    }
    expect(said.size).toBe(1)
    expect([...said][0]).toMatch(/^unauthenticated/)
  })
})
