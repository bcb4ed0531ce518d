/** Transfers of layer ranges that break, and senders that refuse or lie. */
import { describe, expect, it } from 'vitest'
import { CHUNK, useStore } from './store-of-ranges.ts'

const used = useStore()
const { fileRequests, hasty, here } = used

describe('a transfer that breaks', () => {
  it('goes on with the chunks that are still missing', async () => {
    let cuts = 0
    used.server.fault = (request) =>
      request.range?.startsWith('bytes=0-') && cuts++ === 0
        ? { kind: 'cut', afterBytes: CHUNK + 10 }
        : undefined
    await used.store.open(used.server.key(0))
    expect(fileRequests().map((request) => request.range)).toEqual([
      `bytes=0-${3 * CHUNK - 1}`,
      `bytes=${CHUNK}-${3 * CHUNK - 1}`,
      `bytes=${5 * CHUNK}-${6 * CHUNK - 1}`,
    ])
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
  })

  it('keeps what arrived for a later attempt when it does not recover', async () => {
    used.server.fault = (request) =>
      request.path.includes('/files/') && !request.range?.startsWith('bytes=0-')
        ? { kind: 'status', status: 500, body: 'disk on fire' }
        : undefined
    await expect(used.store.open(used.server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringContaining('disk on fire'),
    })
    used.server.fault = () => undefined
    used.server.seen.length = 0
    await used.store.open(used.server.key(0))
    expect(fileRequests().map((request) => request.range)).toEqual([`bytes=${5 * CHUNK}-${6 * CHUNK - 1}`])
  })

  it('is retried when a chunk arrives with wrong bytes', async () => {
    let wrong = 0
    used.server.fault = (request) =>
      request.path.includes('/files/') && wrong++ === 0 ? { kind: 'corrupt', byte: CHUNK + 5 } : undefined
    await used.store.open(used.server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
  })

  it('fails with the chunk named when its bytes stay wrong, and never writes them', async () => {
    used.server.fault = (request) =>
      request.range?.startsWith(`bytes=${5 * CHUNK}-`) ? { kind: 'corrupt', byte: 5 } : undefined
    await expect(used.store.open(used.server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringMatching(/benchmark service.*chunk 5 of model\.onnx.*SHA-256/),
    })
    expect(here(5).every((byte) => byte === 0)).toBe(true)
  })

  it('fails when the sub-model is not what its manifest says', async () => {
    used.server.fault = (request) =>
      request.path.endsWith('/0-3') ? { kind: 'corrupt', byte: 0 } : undefined
    await expect(used.store.open(used.server.key(0))).rejects.toThrow(/wrong sub-model/)
  })

  it('gives up on a service that stays silent, naming it', async () => {
    hasty(400)
    used.server.fault = () => ({ kind: 'silent' })
    await expect(used.store.open(used.server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringMatching(/benchmark service at http.*no byte for 400 ms/),
      details: { resource: 'benchmark service' },
    })
  })

  it('goes on after a transfer that stopped half-way without ending', async () => {
    hasty(1500)
    let stalls = 0
    used.server.fault = (request) =>
      request.range?.startsWith('bytes=0-') && stalls++ === 0
        ? { kind: 'stall', afterBytes: 2 * CHUNK }
        : undefined
    await used.store.open(used.server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
    expect(fileRequests()[1]?.range).toBe(`bytes=${2 * CHUNK}-${3 * CHUNK - 1}`)
  })

  it('ends at once when its caller is gone, and leaves others with the same wish alone', async () => {
    const caller = new AbortController()
    used.server.fault = (request) => {
      if (request.range?.startsWith('bytes=0-')) caller.abort()
      return undefined
    }
    const [gone, stays] = await Promise.allSettled([
      used.store.open(used.server.key(0), caller.signal),
      used.store.open(used.server.key(0)),
    ])
    expect(gone).toMatchObject({ status: 'rejected', reason: { code: 'cancelled' } })
    expect(stays.status).toBe('fulfilled')
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
  })
})

describe('a benchmark service that refuses or lies', () => {
  it('passes its own refusal on', async () => {
    await expect(used.store.open({ ...used.server.key(0), to: 99 })).rejects.toMatchObject({
      code: 'notFound',
      message: expect.stringContaining('nothing at'),
    })
  })

  it.each([
    '../model.onnx',
    '/etc/passwd',
    'a/../../b',
    'a\\b',
    '',
    '.',
    'x.scission-chunks',
    'C:/x',
    'abcdef012345.0-3.onnx',
  ])('may not name the weight file %j', async (file) => {
    used.server.tamper = (manifest) => ({
      ...manifest,
      weights: manifest.weights.map((weights) => ({ ...weights, path: file })),
    })
    await expect(used.store.open(used.server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringContaining(JSON.stringify(file)),
    })
    expect(fileRequests()).toEqual([])
  })

  it('may not name chunks past the end of the file', async () => {
    used.server.tamper = (manifest) => ({
      ...manifest,
      weights: manifest.weights.map((weights) => ({ ...weights, chunks: [{ index: 10, sha256: 'x' }] })),
    })
    await expect(used.store.open(used.server.key(0))).rejects.toThrow(/chunk 10 of model.onnx, past its end/)
  })

  it('may not answer with the manifest of another range', async () => {
    used.server.tamper = (manifest) => ({ ...manifest, to: 2 })
    await expect(used.store.open(used.server.key(0))).rejects.toThrow(/manifest of .*\[0,2\)/)
  })

  it('is not asked for a range that cannot be', async () => {
    await expect(used.store.open({ ...used.server.key(0), from: 3, to: 2 })).rejects.toMatchObject({
      code: 'invalidRange',
    })
    expect(used.server.seen).toEqual([])
  })
})
