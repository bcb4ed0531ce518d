import http from 'node:http'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type InferBody, readBody } from '../../services/inference/messages/body.ts'
import { BodyMemoryBudget } from '../../services/inference/messages/buffer-memory.ts'
import { acceptedEncoding } from '../../services/inference/messages/message-codec.ts'
import { until } from '../support/eventually.ts'

describe('a body', () => {
  const PATIENT_MS = 60_000
  const MAX_BYTES = 60_000
  let idleMs = PATIENT_MS
  let memory: BodyMemoryBudget | undefined
  let reading = 0
  /** A request's body is read once its sender has left: the look-up of its model took longer. */
  let readLate = false
  let server: http.Server
  let port = 0
  const outcomes: (InferBody | Error)[] = []

  beforeAll(async () => {
    const read = async (req: http.IncomingMessage) => {
      if (readLate) await new Promise((resolve) => req.once('close', resolve))
      return readBody(req, { maxBytes: MAX_BYTES, idleMs, ...(memory && { memory }) })
    }
    server = http.createServer((req, res) => {
      reading += 1
      read(req)
        .then(
          (body) => outcomes.push(body) && res.end('read'),
          (error: Error) => outcomes.push(error) && res.writeHead(400).end(error.message),
        )
        .finally(() => (reading -= 1))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  beforeEach(() => {
    outcomes.length = 0
    idleMs = PATIENT_MS
    memory = undefined
    readLate = false
  })

  /** Bytes on the wire exactly as given; what came back until then is returned by `heard`. */
  async function connect(...parts: string[]) {
    const socket = net.connect(port, '127.0.0.1')
    let heard = ''
    socket.on('data', (chunk) => (heard += chunk.toString()))
    socket.on('error', () => undefined)
    for (const part of parts) socket.write(part)
    return { socket, heard: () => heard }
  }
  const post = (...headers: string[]) => `POST / HTTP/1.1\r\nHost: x\r\n${headers.join('\r\n')}\r\n\r\n`
  const outcome = async () => {
    await until(async () => outcomes.length > 0)
    return outcomes[0]
  }
  const nextOutcome = async () => {
    outcomes.length = 0
    return outcome()
  }

  it('comes apart into JSON and tensors, each filling memory of its own, however it is cut on the way', async () => {
    const body = '{"a":1}TENSORBYTES'
    for (let cut = 1; cut < body.length; cut += 3) {
      outcomes.length = 0
      const { socket } = await connect(
        post(`Content-Length: ${body.length}`, 'Inference-Header-Content-Length: 7'),
        body.slice(0, cut),
      )
      await until(async () => reading === 1)
      socket.write(body.slice(cut))
      const read = (await outcome()) as InferBody
      expect(Buffer.from(read.json).toString()).toBe('{"a":1}')
      expect(Buffer.from(read.tensors).toString()).toBe('TENSORBYTES')
      expect([read.json.buffer.byteLength, read.tensors.buffer.byteLength]).toEqual([7, 11])
      socket.destroy()
    }
  })

  it('of unknown length is put together the same way', async () => {
    await connect(
      post('Transfer-Encoding: chunked', 'Inference-Header-Content-Length: 7'),
      '4\r\n{"a"\r\n',
      '5\r\n:1}TE\r\n3\r\nNSO\r\n0\r\n\r\n',
    )
    const read = (await outcome()) as InferBody
    expect(Buffer.from(read.tensors).toString()).toBe('TENSO')
    expect(read.tensors.buffer.byteLength).toBe(5)
  })

  it('that stops arriving is given up on, and its sender told', async () => {
    idleMs = 150
    const { heard } = await connect(post('Content-Length: 100'), 'half of it')
    expect(await outcome()).toMatchObject({
      code: 'requestTimeout',
      message: 'the body stopped arriving: only 10 bytes came for 150 ms',
    })
    await until(async () => heard().includes('400'))
  })

  it('that arrives slowly but steadily is waited for', async () => {
    idleMs = 1500
    const { socket } = await connect(post('Content-Length: 50000'))
    for (const letter of '0123456789') {
      socket.write(letter.repeat(5000))
      // In all longer than it would wait for one.
      await new Promise((resolve) => setTimeout(resolve, idleMs / 8))
    }
    expect(await outcome()).toMatchObject({ raw: false })
  })

  it('of which a byte comes now and then is given up on', async () => {
    idleMs = 400
    const { socket } = await connect(post('Content-Length: 50000'))
    const timer = setInterval(() => socket.write('x'), idleMs / 8)
    expect(await outcome()).toMatchObject({
      code: 'requestTimeout',
      message: expect.stringMatching(/^the body stopped arriving: only \d+ bytes came for 400 ms$/),
    })
    clearInterval(timer)
  })

  it('that does not fit beside those on their way is refused, and has room when they are done', async () => {
    memory = new BodyMemoryBudget(1000)
    const { socket } = await connect(post('Content-Length: 800'))
    await until(async () => reading === 1)
    await connect(post('Content-Length: 300'), 'x'.repeat(300))
    expect(await outcome()).toMatchObject({ code: 'overloaded', status: 503 })
    const growing = '258\r\n'.concat('x'.repeat(600), '\r\n0\r\n\r\n')
    await Promise.all([nextOutcome(), connect(post('Transfer-Encoding: chunked'), growing)])
    expect(outcomes).toMatchObject([{ code: 'overloaded' }])
    const last = nextOutcome()
    socket.write('x'.repeat(800))
    await last
    expect(outcomes).toMatchObject([{ raw: false }])
    await Promise.all([nextOutcome(), connect(post('Transfer-Encoding: chunked'), growing)])
    expect(outcomes).toMatchObject([{ raw: false }])
  })

  it('that comes alone is read whatever its size, though it comes in pieces', async () => {
    memory = new BodyMemoryBudget(1000)
    const pieces = ['1f4\r\n', 'x'.repeat(500), '\r\n'].join('').repeat(5)
    const { socket } = await connect(post('Transfer-Encoding: chunked'), pieces)
    await until(async () => reading === 1)
    await connect(post('Content-Length: 300'), 'x'.repeat(300))
    expect(await outcome()).toMatchObject({ code: 'overloaded' })
    const last = nextOutcome()
    socket.write('0\r\n\r\n')
    expect(((await last) as InferBody).json.byteLength).toBe(2500)
  })

  it('whose sender leaves half-way is nobody’s', async () => {
    const { socket } = await connect(post('Content-Length: 100'), 'half of it')
    await until(async () => reading === 1)
    socket.destroy()
    expect(await outcome()).toMatchObject({ code: 'cancelled' })
  })

  it('whose packed sender leaves half-way as well', async () => {
    const { socket } = await connect(post('Content-Length: 100', 'Content-Encoding: gzip'), '\u001f')
    await until(async () => reading === 1)
    socket.destroy()
    expect(await outcome()).toMatchObject({ code: 'cancelled' })
  })

  it.each([
    ['in part', [post('Content-Length: 100'), 'half of it']],
    ['as a whole', [post('Content-Length: 10'), 'all of it.']],
    ['packed, as a whole', [post('Content-Length: 10', 'Content-Encoding: gzip'), 'all of it.']],
  ])('whose sender has left before it was read, arrived %s, takes no room', async (_how, parts) => {
    readLate = true
    memory = new BodyMemoryBudget(1)
    const { socket } = await connect(...parts)
    await until(async () => reading === 1)
    socket.destroy()
    expect(await outcome()).toMatchObject({ code: 'cancelled' })
    readLate = false
    await Promise.all([nextOutcome(), connect(post('Content-Length: 5'), '12345')])
    expect(outcomes).toMatchObject([{ raw: false }])
  })

  it.each([
    ['longer than allowed', `Content-Length: ${MAX_BYTES + 1}`, 'payloadTooLarge'],
    ['whose JSON length is no number', 'Inference-Header-Content-Length: ten', 'badRequest'],
  ])('that is refused as %s is not unpacked, broken as it may be', async (_what, header, code) => {
    const length = header.startsWith('Content-Length') ? [] : ['Content-Length: 20']
    const { heard } = await connect(
      post('Content-Encoding: gzip', header, ...length),
      'this is no gzip data'.repeat(1 + MAX_BYTES / 20),
    )
    expect(await outcome()).toMatchObject({ code })
    await until(async () => heard().includes('400'))
    // A fault of a stream that nobody listens to ends the process.
    await new Promise((resolve) => setTimeout(resolve, 100))
  })
})

describe('the compression of an answer', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['br', undefined],
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['gzip, compress, deflate, br', 'gzip'],
    ['gzip;q=0.2, deflate;q=0.9', 'deflate'],
    ['gzip;q=0', undefined],
    ['GZIP', 'gzip'],
    ['identity', undefined],
  ])('asked for as %s is %s', (header, expected) => {
    expect(acceptedEncoding(header)).toBe(expected)
  })
})
