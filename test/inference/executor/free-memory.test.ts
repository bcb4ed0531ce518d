/** Buffers are freed as soon as they were sent, and no others are. */
import net from 'node:net'
import { once } from 'node:events'
import express from 'express'
import { afterEach, expect, it, vi } from 'vitest'
import { freeViews } from '../../../services/inference/messages/buffer-memory.ts'
import { Caller } from '../../../services/inference/http/call.ts'
import { type InferBody, readBody } from '../../../services/inference/messages/body.ts'
import { AnswerMemory } from '../../../services/inference/messages/answer-memory.ts'
import { Messages, sendMessage } from '../../../services/inference/messages/message-codec.ts'
import { listen } from '../../../shared/platform/http-server/listen.ts'

const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** More than any socket takes at once. */
const LARGE = 64_000_000
const large = () => new Uint8Array(LARGE).fill(7)

async function serve(bytes: Uint8Array): Promise<string> {
  const app = express()
  const message = { json: Buffer.from('{}'), binary: [bytes], binaryBytes: bytes.byteLength }
  const messages = new Messages()
  const sending = { memory: new AnswerMemory(Infinity), messages, asker: { client: 'somebody' } }
  app.get('/', (req, res) => sendMessage(req, res, message, sending))
  const { url, close } = await listen(app, 0, '127.0.0.1')
  closing.push(close, () => messages.close())
  return url
}

it('frees what a view fills, and leaves parts of larger buffers and the pool alone', () => {
  const [whole, part, pooled] = [new Uint8Array(100), new Uint8Array(100).subarray(10), Buffer.from('pooled')]
  freeViews([whole, part, pooled, new Uint8Array(0), whole])
  expect([whole, part, pooled].map((view) => view.byteLength)).toEqual([0, 90, 6])
})

it('frees the tensors of an answer once it is out, whole', async () => {
  const bytes = large()
  const answer = await fetch(await serve(bytes))
  const received = Buffer.from(await answer.arrayBuffer())
  expect(received.subarray(2).equals(large())).toBe(true)
  await vi.waitFor(() => expect(bytes.byteLength).toBe(0), 10_000)
})

it('frees the tensors of an answer that is broken off, once its connection is closed', async () => {
  const bytes = large()
  const socket = net.connect(Number(new URL(await serve(bytes)).port), '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'readable')
  expect(bytes.byteLength).toBe(LARGE)
  socket.destroy()
  await vi.waitFor(() => expect(bytes.byteLength).toBe(0), 10_000)
})

it('knows of a peer that answers before it has read everything', async () => {
  const early = net.createServer((socket) => {
    socket.pause().write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}')
  })
  early.listen(0, '127.0.0.1')
  await once(early, 'listening')
  const caller = new Caller()
  closing.push(
    () => caller.close(),
    () => void early.close(),
  )
  const { port } = early.address() as net.AddressInfo
  const call = {
    method: 'POST' as const,
    url: `http://127.0.0.1:${port}/`,
    headers: {},
    timeoutMs: 20_000,
    maxBytes: 100,
  }
  const much = await caller.send({ ...call, body: [large()] })
  const little = await caller.send({ ...call, body: [new Uint8Array(10)] })
  expect([much.allSent, little.allSent]).toEqual([false, true])
})

it('frees the pieces in which a body came, once they are copied, and keeps those it has not copied', async () => {
  const pieces: Buffer[] = []
  const app = express()
  const isRight = ({ tensors }: InferBody) => Buffer.from(tensors).equals(Buffer.alloc(tensors.byteLength, 7))
  app.post('/', (req, res, next) => {
    req.on('data', (piece: Buffer) => pieces.push(piece))
    const reading = readBody(req, { maxBytes: LARGE, idleMs: 60_000 })
    reading.then((body) => res.end(String(isRight(body))), next)
  })
  const { url, close } = await listen(app, 0, '127.0.0.1')
  closing.push(close)
  const body = new Uint8Array(5_000_000).fill(7)
  const headers = { 'Inference-Header-Content-Length': '0' }
  const known = await fetch(url, { method: 'POST', headers, body })
  expect([await known.text(), pieces.length > 1, pieces.every((piece) => piece.byteLength === 0)]).toEqual([
    'true',
    true,
    true,
  ])
  pieces.length = 0
  const chunked = new Blob([body]).stream()
  const unknown = await fetch(url, { method: 'POST', headers, body: chunked, duplex: 'half' })
  expect([await unknown.text(), pieces.some((piece) => piece.byteLength === 0)]).toEqual(['true', false])
})
