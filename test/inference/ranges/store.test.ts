import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RangeStore } from '../../../services/inference/ranges/range-store.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { RUBBISH_RECORDS } from '../../support/rubbish.ts'
import { RangeServer, subModel, subModelReading } from './range-server.ts'

const CHUNK = 4096

let folder: string
let server: RangeServer
let store: RangeStore

const fileRequests = () => server.seen.filter((request) => request.path.includes('/files/'))
const weightFile = () => path.join(folder, 'models', server.model, 'model.onnx')
const here = (index: number) => {
  const start = index * CHUNK
  return fs.readFileSync(weightFile()).subarray(start, start + server.chunk(index).length)
}

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-ranges-'))
  // 9 full chunks and one of 100 bytes.
  server = await new RangeServer(9 * CHUNK + 100, [
    { from: 0, to: 3, onnx: subModel('0-3'), chunks: [0, 1, 2, 5] },
    { from: 3, to: 7, onnx: subModel('3-7'), chunks: [2, 3, 4, 9] },
    { from: 4, to: 4, onnx: null, chunks: [] },
  ]).start()
  store = new RangeStore({ benchmarkUrl: server.url, folder })
})

/** Replaces the store by one with a short timeout, for tests of senders that fall silent. */
function hasty(idleTimeoutMs: number): void {
  store.close()
  store = new RangeStore({ benchmarkUrl: server.url, folder, idleTimeoutMs })
}

afterEach(async () => {
  store.close()
  await server.stop()
  fs.rmSync(folder, { recursive: true })
})

describe('a range that is not here yet', () => {
  it('is fetched with just the chunks it needs, each at its own offset of a file of full size', async () => {
    const range = await store.open(server.key(0))
    expect(fs.readFileSync(range.path ?? '')).toEqual(subModel('0-3'))
    expect(path.dirname(range.path ?? '')).toBe(path.dirname(weightFile()))
    expect(fs.statSync(weightFile()).size).toBe(server.weights.length)
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
    for (const index of [3, 4, 6, 9]) expect(here(index).every((byte) => byte === 0)).toBe(true)
  })

  it('fetches neighbouring chunks in one request', async () => {
    await store.open(server.key(0))
    expect(fileRequests().map((request) => request.range)).toEqual([
      `bytes=0-${3 * CHUNK - 1}`,
      `bytes=${5 * CHUNK}-${6 * CHUNK - 1}`,
    ])
  })

  it('shares chunks with other ranges of the model, the short last chunk included', async () => {
    await store.open(server.key(0))
    await store.open(server.key(1))
    expect(
      fileRequests()
        .slice(2)
        .map((request) => request.range),
    ).toEqual([`bytes=${3 * CHUNK}-${5 * CHUNK - 1}`, `bytes=${9 * CHUNK}-${9 * CHUNK + 99}`])
    for (const index of [0, 1, 2, 3, 4, 5, 9]) expect(here(index)).toEqual(server.chunk(index))
  })

  it('has no path when it runs no layer', async () => {
    const range = await store.open(server.key(2))
    expect(range.path).toBeNull()
    expect(range.manifest).toMatchObject({ from: 4, to: 4, onnx: null })
    expect(fileRequests()).toEqual([])
  })

  it('is fetched once when several ask for it at the same time', async () => {
    const opened = await Promise.all([0, 0, 0, 1].map((index) => store.open(server.key(index))))
    expect(new Set(opened.slice(0, 3).map((range) => range.path)).size).toBe(1)
    const bytes = fileRequests().map((request) => request.range)
    expect(new Set(bytes).size).toBe(bytes.length)
    for (const index of [0, 1, 2, 3, 4, 5, 9]) expect(here(index)).toEqual(server.chunk(index))
  })
})

describe('a range that was fetched before', () => {
  it('opens after a restart without fetching a byte of it again', async () => {
    await store.open(server.key(0))
    server.seen.length = 0
    const restarted = new RangeStore({ benchmarkUrl: server.url, folder })
    await restarted.open(server.key(0))
    restarted.close()
    expect(server.seen.map((request) => path.basename(request.path))).toEqual(['manifest'])
  })

  it('opens while the benchmark service is down', async () => {
    const before = await store.open(server.key(0))
    await server.stop()
    const again = await store.open(server.key(0))
    expect(again).toMatchObject({ path: before.path, manifest: before.manifest })
    await expect(store.open(server.key(1))).rejects.toMatchObject({ code: 'peerUnavailable' })
  })

  it('is fetched again when its weight file was deleted or cut', async () => {
    await store.open(server.key(0))
    fs.rmSync(weightFile())
    await store.open(server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
    fs.truncateSync(weightFile(), 10)
    await store.open(server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
  })

  it('is made whole again for everybody who has it open when its file was damaged', async () => {
    await store.open(server.key(0))
    fs.rmSync(`${weightFile()}.scission-chunks`)
    await store.open(server.key(1))
    for (const index of [0, 1, 2, 3, 4, 5, 9]) expect(here(index)).toEqual(server.chunk(index))
  })

  it('fetches its sub-model again when that was damaged', async () => {
    const { path: file } = await store.open(server.key(0))
    fs.writeFileSync(file ?? '', subModel('0-X'))
    await store.open(server.key(0))
    expect(fs.readFileSync(file ?? '')).toEqual(subModel('0-3'))
  })
})

describe('a range whose sub-model refers to bytes that its manifest does not list', () => {
  const open = async (index: number, bytes: [number, number]) => {
    server.ranges[index]!.onnx = subModelReading('branch/w', bytes)
    const { log, lines } = recordedLog()
    const own = new RangeStore({ benchmarkUrl: server.url, folder, log })
    try {
      return { own, lines, error: await own.open(server.key(index)).catch((error: unknown) => error) }
    } finally {
      own.close()
    }
  }
  const manifestFile = () => path.join(path.dirname(weightFile()), 'abcdef012345.0-3.json')

  it('does not open: the error names tensor and bytes, and it is logged and counted', async () => {
    const { own, lines, error } = await open(0, [3 * CHUNK - 10, 3 * CHUNK + 10])
    expect(error).toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringContaining(
        `the tensor "branch/w" is in bytes ${3 * CHUNK - 10} to ${3 * CHUNK + 10} of model.onnx`,
      ),
      details: { tensor: 'branch/w', path: 'model.onnx', offset: 3 * CHUNK - 10, length: 20 },
    })
    expect(own.incomplete).toBe(1)
    expect(lines).toEqual([expect.stringContaining('"branch/w"')])
    expect(fs.existsSync(manifestFile())).toBe(false)
  })

  it('does not open either while another range has them: they could be evicted', async () => {
    await store.open(server.key(1))
    const { error } = await open(0, [3 * CHUNK, 3 * CHUNK + 10])
    expect(error).toMatchObject({ code: 'peerUnavailable' })
  })

  it('does not open if they lie past the end of the file', async () => {
    const { error } = await open(1, [9 * CHUNK, 9 * CHUNK + 101])
    expect(error).toMatchObject({ code: 'peerUnavailable' })
  })

  it('opens if they are listed, to the last byte', async () => {
    const { error, own } = await open(1, [9 * CHUNK, 9 * CHUNK + 100])
    expect(error).toMatchObject({ path: expect.stringContaining('3-7.onnx') })
    expect(own.incomplete).toBe(0)
  })
})

describe('a file of the store that is damaged', () => {
  const manifestFile = () => path.join(path.dirname(weightFile()), 'abcdef012345.0-3.json')
  const opened = async () => {
    const { log, lines } = recordedLog()
    const restarted = new RangeStore({ benchmarkUrl: server.url, folder, log })
    try {
      return { range: await restarted.open(server.key(0)), lines }
    } catch (error) {
      return { error, lines }
    } finally {
      restarted.close()
    }
  }

  it.each(Object.entries(RUBBISH_RECORDS))(
    'counts as absent and is made again: %s',
    async (_what, rubbish) => {
      await store.open(server.key(0))
      const manifest = fs.readFileSync(manifestFile(), 'utf8')
      const record = fs.readFileSync(`${weightFile()}.scission-chunks`, 'utf8')
      fs.writeFileSync(manifestFile(), rubbish)
      fs.writeFileSync(`${weightFile()}.scission-chunks`, rubbish)
      const { range, lines } = await opened()
      expect(range?.manifest).toEqual(JSON.parse(manifest))
      expect(fs.readFileSync(manifestFile(), 'utf8')).toBe(manifest)
      expect(fs.readFileSync(`${weightFile()}.scission-chunks`, 'utf8')).toBe(record)
      for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
      expect(lines).toEqual([
        expect.stringContaining('model.onnx.scission-chunks is damaged and will be made again: '),
      ])
      expect(lines[0]?.length).toBeLessThan(600)
    },
  )

  it('is said to be damaged when it is needed because the benchmark service is down', async () => {
    await store.open(server.key(0))
    fs.writeFileSync(manifestFile(), 'hello {')
    await server.stop()
    const { error, lines } = await opened()
    expect(error).toMatchObject({ code: 'peerUnavailable' })
    expect(lines).toEqual([`${manifestFile()} is damaged and will be made again: not JSON: "hello {"`])
  })

  it('is not followed out of the folder of its model', async () => {
    await store.open(server.key(0))
    const text = fs.readFileSync(manifestFile(), 'utf8').replaceAll('model.onnx', '../outside.onnx')
    fs.writeFileSync(manifestFile(), text)
    await server.stop()
    const { error, lines } = await opened()
    expect(error).toMatchObject({ code: 'peerUnavailable' })
    expect(fs.readdirSync(path.join(folder, 'models'))).toEqual([server.model])
    expect(lines).toEqual([expect.stringContaining('is damaged')])
  })
})

describe('a transfer that breaks', () => {
  it('goes on with the chunks that are still missing', async () => {
    let cuts = 0
    server.fault = (request) =>
      request.range?.startsWith('bytes=0-') && cuts++ === 0
        ? { kind: 'cut', afterBytes: CHUNK + 10 }
        : undefined
    await store.open(server.key(0))
    expect(fileRequests().map((request) => request.range)).toEqual([
      `bytes=0-${3 * CHUNK - 1}`,
      `bytes=${CHUNK}-${3 * CHUNK - 1}`,
      `bytes=${5 * CHUNK}-${6 * CHUNK - 1}`,
    ])
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
  })

  it('keeps what arrived for a later attempt when it does not recover', async () => {
    server.fault = (request) =>
      request.path.includes('/files/') && !request.range?.startsWith('bytes=0-')
        ? { kind: 'status', status: 500, body: 'disk on fire' }
        : undefined
    await expect(store.open(server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringContaining('disk on fire'),
    })
    server.fault = () => undefined
    server.seen.length = 0
    await store.open(server.key(0))
    expect(fileRequests().map((request) => request.range)).toEqual([`bytes=${5 * CHUNK}-${6 * CHUNK - 1}`])
  })

  it('is retried when a chunk arrives with wrong bytes', async () => {
    let wrong = 0
    server.fault = (request) =>
      request.path.includes('/files/') && wrong++ === 0 ? { kind: 'corrupt', byte: CHUNK + 5 } : undefined
    await store.open(server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
  })

  it('fails with the chunk named when its bytes stay wrong, and never writes them', async () => {
    server.fault = (request) =>
      request.range?.startsWith(`bytes=${5 * CHUNK}-`) ? { kind: 'corrupt', byte: 5 } : undefined
    await expect(store.open(server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringMatching(/benchmark service.*chunk 5 of model\.onnx.*SHA-256/),
    })
    expect(here(5).every((byte) => byte === 0)).toBe(true)
  })

  it('fails when the sub-model is not what its manifest says', async () => {
    server.fault = (request) => (request.path.endsWith('/0-3') ? { kind: 'corrupt', byte: 0 } : undefined)
    await expect(store.open(server.key(0))).rejects.toThrow(/wrong sub-model/)
  })

  it('gives up on a service that stays silent, naming it', async () => {
    hasty(400)
    server.fault = () => ({ kind: 'silent' })
    await expect(store.open(server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringMatching(/benchmark service at http.*no byte for 400 ms/),
      details: { resource: 'benchmark service' },
    })
  })

  it('goes on after a transfer that stopped half-way without ending', async () => {
    hasty(1500)
    let stalls = 0
    server.fault = (request) =>
      request.range?.startsWith('bytes=0-') && stalls++ === 0
        ? { kind: 'stall', afterBytes: 2 * CHUNK }
        : undefined
    await store.open(server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
    expect(fileRequests()[1]?.range).toBe(`bytes=${2 * CHUNK}-${3 * CHUNK - 1}`)
  })

  it('ends at once when its caller is gone, and leaves others with the same wish alone', async () => {
    const caller = new AbortController()
    server.fault = (request) => {
      if (request.range?.startsWith('bytes=0-')) caller.abort()
      return undefined
    }
    const [gone, stays] = await Promise.allSettled([
      store.open(server.key(0), caller.signal),
      store.open(server.key(0)),
    ])
    expect(gone).toMatchObject({ status: 'rejected', reason: { code: 'cancelled' } })
    expect(stays.status).toBe('fulfilled')
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(server.chunk(index))
  })
})

describe('a benchmark service that refuses or lies', () => {
  it('passes its own refusal on', async () => {
    await expect(store.open({ ...server.key(0), to: 99 })).rejects.toMatchObject({
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
    server.tamper = (manifest) => ({
      ...manifest,
      weights: manifest.weights.map((weights) => ({ ...weights, path: file })),
    })
    await expect(store.open(server.key(0))).rejects.toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringContaining(JSON.stringify(file)),
    })
    expect(fileRequests()).toEqual([])
  })

  it('may not name chunks past the end of the file', async () => {
    server.tamper = (manifest) => ({
      ...manifest,
      weights: manifest.weights.map((weights) => ({ ...weights, chunks: [{ index: 10, sha256: 'x' }] })),
    })
    await expect(store.open(server.key(0))).rejects.toThrow(/chunk 10 of model.onnx, past its end/)
  })

  it('may not answer with the manifest of another range', async () => {
    server.tamper = (manifest) => ({ ...manifest, to: 2 })
    await expect(store.open(server.key(0))).rejects.toThrow(/manifest of .*\[0,2\)/)
  })

  it('is not asked for a range that cannot be', async () => {
    await expect(store.open({ ...server.key(0), from: 3, to: 2 })).rejects.toMatchObject({
      code: 'invalidRange',
    })
    expect(server.seen).toEqual([])
  })
})
