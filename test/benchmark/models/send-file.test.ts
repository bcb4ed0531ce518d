import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import express from 'express'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseRange, sendFile } from '../../../services/benchmark/models/send-file.ts'
import { type Listening, listen } from '../../../shared/platform/http-server/listen.ts'

const bytes = randomBytes(5_000_000)
const etag = `"${createHash('sha256').update(bytes).digest('hex')}"`
let folder: string
let listening: Listening
let faults: unknown[] = []

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'scission-send-'))
  const file = path.join(folder, 'w.bin')
  await writeFile(file, bytes)
  const app = express().get('/w', (req, res) => {
    const sent = { path: file, bytes: bytes.length, sha256: etag.slice(1, -1) }
    sendFile(req, res, sent).catch((fault: unknown) => faults.push(fault))
  })
  listening = await listen(app, 0, '127.0.0.1')
})
afterAll(async () => {
  await listening.close()
  await rm(folder, { recursive: true, force: true })
})

const get = (headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${listening.url}/w`, { headers, method })
const bodyOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer())

describe('sending a file', () => {
  it('sends all of it when no range is asked for, with its digest as ETag', async () => {
    const answer = await get()
    expect(answer.status).toBe(200)
    expect(answer.headers.get('etag')).toBe(etag)
    expect(answer.headers.get('accept-ranges')).toBe('bytes')
    expect((await bodyOf(answer)).equals(bytes)).toBe(true)
  })

  it.each([
    ['the start', 'bytes=0-99', 0, 99],
    ['one byte', 'bytes=7-7', 7, 7],
    ['an open end', 'bytes=4999990-', 4_999_990, 4_999_999],
    ['the last bytes', 'bytes=-10', 4_999_990, 4_999_999],
    ['an end past the file', 'bytes=4999990-9999999', 4_999_990, 4_999_999],
    ['more last bytes than there are', 'bytes=-9999999', 0, 4_999_999],
  ])('sends %s', async (_what, range, start, end) => {
    const answer = await get({ Range: range })
    expect(answer.status).toBe(206)
    expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end}/5000000`)
    expect((await bodyOf(answer)).equals(bytes.subarray(start, end + 1))).toBe(true)
  })

  it.each(['bytes=5000000-', 'bytes=9999999-10000000', 'bytes=-0'])(
    'refuses %s with the size',
    async (range) => {
      const answer = await get({ Range: range })
      expect(answer.status).toBe(416)
      expect(answer.headers.get('content-range')).toBe('bytes */5000000')
      expect(await answer.json()).toMatchObject({ error: { code: 'invalidRange' } })
    },
  )

  it.each(['bytes=5-2', 'bytes=a-b', 'bytes=-', 'lines=1-2', 'bytes=0-1,5-6'])(
    'sends everything for %s, as the specification allows',
    async (range) => {
      const answer = await get({ Range: range })
      expect(answer.status).toBe(200)
      expect((await bodyOf(answer)).length).toBe(bytes.length)
    },
  )

  it('does not send what the client has, nor a part of another content', async () => {
    expect((await get({ 'If-None-Match': etag })).status).toBe(304)
    expect((await get({ 'If-Range': etag, Range: 'bytes=0-1' })).status).toBe(206)
    const other = await get({ 'If-Range': '"other"', Range: 'bytes=0-1' })
    expect([other.status, (await bodyOf(other)).length]).toEqual([200, bytes.length])
  })

  it('tells the size without the content', async () => {
    const answer = await get({ Range: 'bytes=0-9' }, 'HEAD')
    expect([answer.status, answer.headers.get('content-length')]).toEqual([206, '10'])
  })

  it('takes it calmly when the client leaves in the middle', async () => {
    faults = []
    await new Promise<void>((resolve) => {
      const socket = net.connect(listening.port, '127.0.0.1')
      socket.write('GET /w HTTP/1.1\r\nHost: x\r\n\r\n')
      socket.once('data', () => socket.destroy())
      socket.once('close', () => resolve())
    })
    expect((await get({ Range: 'bytes=0-9' })).status).toBe(206)
    expect(faults).toEqual([])
  })
})

describe('a Range header', () => {
  it('never selects a byte outside of the file', () => {
    const number = fc.option(fc.nat(50), { nil: undefined })
    fc.assert(
      fc.property(number, number, fc.nat(40), (first, last, size) => {
        const span = parseRange(`bytes=${first ?? ''}-${last ?? ''}`, size)
        if (span === undefined || span === 'unsatisfiable') return
        expect(span.start).toBeGreaterThanOrEqual(0)
        expect(span.end).toBeGreaterThanOrEqual(span.start)
        expect(span.end).toBeLessThan(size)
      }),
    )
  })
})
