import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RangeStore } from '../../../services/inference/ranges/range-store.ts'
import { RangeServer, subModel } from './range-server.ts'

const CHUNK = 4096

let folder: string
let server: RangeServer
let store: RangeStore

const modelFolder = () => path.join(folder, 'models', server.model)
const names = () => fs.readdirSync(modelFolder()).filter((name) => name.endsWith('.onnx'))
const here = (index: number) =>
  fs.readFileSync(path.join(modelFolder(), 'model.onnx')).subarray(index * CHUNK, (index + 1) * CHUNK)
const isHere = (index: number) => here(index).equals(server.chunk(index))
const usedBytes = () => {
  const files = fs.readdirSync(modelFolder()).map((name) => fs.statSync(path.join(modelFolder(), name)))
  return files.reduce((sum, stat) => sum + stat.blocks * 512, 0)
}
/** Files that one test writes would otherwise have the same modification time in ms. */
const tick = () => new Promise((resolve) => setTimeout(resolve, 15))

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-eviction-'))
  server = await new RangeServer(200 * CHUNK, [
    { from: 0, to: 1, onnx: subModel('a'), chunks: [...Array(40).keys()] },
    { from: 1, to: 2, onnx: subModel('b'), chunks: [...Array(40).keys()].map((index) => index + 30) },
    { from: 2, to: 3, onnx: subModel('c'), chunks: [...Array(40).keys()].map((index) => index + 100) },
    { from: 0, to: 9, onnx: subModel('d'), chunks: [...Array(200).keys()] },
  ]).start()
  store = new RangeStore({ benchmarkUrl: server.url, folder, limitBytes: 100 * CHUNK })
})

afterEach(async () => {
  store.close()
  await server.stop()
  fs.rmSync(folder, { recursive: true })
})

describe('a cache with a limit', () => {
  it('evicts the range that was used longest ago, and keeps the chunks that others share with it', async () => {
    for (const index of [0, 1, 0]) {
      const range = await store.open(server.key(index))
      range.release()
      await tick()
    }
    await store.open(server.key(2))
    expect(names()).toEqual(['abcdef012345.0-1.onnx', 'abcdef012345.2-3.onnx', 'model.onnx'])
    expect([0, 29, 30, 39, 100, 139].every(isHere)).toBe(true)
    expect([40, 69].some(isHere)).toBe(false)
    expect(usedBytes()).toBeLessThanOrEqual(100 * CHUNK)
  })

  it('evicts a range with a damaged manifest first', async () => {
    for (const index of [0, 1]) {
      const range = await store.open(server.key(index))
      range.release()
      await tick()
    }
    fs.writeFileSync(path.join(modelFolder(), 'abcdef012345.0-1.json'), 'hello {')
    await store.open(server.key(2))
    expect(names()).toEqual(['abcdef012345.1-2.onnx', 'abcdef012345.2-3.onnx', 'model.onnx'])
    expect([30, 69, 100, 139].every(isHere)).toBe(true)
    expect([0, 29].some(isHere)).toBe(false)
  })

  it.each(['onnx', 'onnx.scission-partial'])(
    'evicts what a crash has left of a range, a file .%s',
    async (extension) => {
      const range = await store.open(server.key(0))
      range.release()
      const left = path.join(modelFolder(), `abcdef012345.7-8.${extension}`)
      fs.writeFileSync(left, Buffer.alloc(50 * CHUNK, 1))
      await store.open(server.key(2))
      expect(fs.existsSync(left)).toBe(false)
      expect([0, 39, 100, 139].every(isHere)).toBe(true)
    },
  )

  it('never evicts a range that is in use', async () => {
    await store.open(server.key(0))
    await tick()
    const second = await store.open(server.key(1))
    second.release()
    await store.open(server.key(2))
    expect(names()).toContain('abcdef012345.0-1.onnx')
    expect(names()).not.toContain('abcdef012345.1-2.onnx')
    expect([0, 20, 39].every(isHere)).toBe(true)
  })

  it('says so when what is in use leaves no room, and what is in use stays whole', async () => {
    await store.open(server.key(0))
    await expect(store.open(server.key(3))).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('SCISSION_CACHE_BYTES'),
    })
    expect([0, 20, 39].every(isHere)).toBe(true)
  })

  it('fetches an evicted range again', async () => {
    const first = await store.open(server.key(0))
    first.release()
    const second = await store.open(server.key(1))
    second.release()
    await tick()
    const third = await store.open(server.key(2))
    third.release()
    expect(names()).not.toContain('abcdef012345.0-1.onnx')
    await store.open(server.key(0))
    expect([0, 20, 39].every(isHere)).toBe(true)
  })

  it('frees the chunks of a transfer that was never finished', async () => {
    const wide = new RangeStore({ benchmarkUrl: server.url, folder, idleTimeoutMs: 1500 })
    server.ranges.push({
      from: 5,
      to: 6,
      onnx: Buffer.from('e'),
      chunks: [...Array(95).keys()].map((index) => index + 100),
    })
    const refused = { kind: 'status', status: 500, body: 'gone' } as const
    let requests = 0
    server.fault = ({ range }) => {
      if (range === undefined) return undefined
      return requests++ === 0 ? { kind: 'stall', afterBytes: 90 * CHUNK + 1 } : refused
    }
    await expect(wide.open(server.key(4))).rejects.toMatchObject({ code: 'peerUnavailable' })
    wide.close()
    expect(isHere(189)).toBe(true)
    server.fault = () => undefined
    await store.open(server.key(0))
    expect(isHere(189)).toBe(false)
    expect([0, 20, 39].every(isHere)).toBe(true)
  })
})
