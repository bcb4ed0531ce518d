/** Senders that lie, are slow, disconnect or come in thousands: they get an error of the protocol and leave nothing behind. */
import { execFileSync } from 'node:child_process'
import net from 'node:net'
import { describe, expect, it } from 'vitest'
import { startProcess } from '../../infra/start/processes/process.ts'
import { createLog } from '../../shared/platform/log.ts'
import { call, postJson } from '../inference/support/service.ts'
import { branchedModel, singleLayerModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import { answerOf, converse, type WireAnswer } from './raw-http.ts'
import { until } from '../support/eventually.ts'

const toy = withToyService(
  [branchedModel('a'), singleLayerModel('b', 'm', toySpec('x', 'FP32', [1, 4]), (x) => x)],
  { SCISSION_MAX_CONNECTIONS: '20000', SCISSION_MAX_CLIENT_CONNECTIONS: '20000' },
)
const RIGHT = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] })
const head = (length: number) =>
  `POST /v2/models/m/infer HTTP/1.1\r\nHost: s\r\nContent-Length: ${length}\r\n\r\n`
/** Matches an error in the form of the protocol. */
const error = (status: number) => [status, 'application/json', { error: expect.stringMatching(/\S/) }]
const heard = ({ status, headers, body }: WireAnswer) => [
  status,
  headers['content-type']?.split(';')[0],
  body.length > 0 ? (JSON.parse(body.toString()) as unknown) : 'no body',
]
const live = async () => (await call('GET', `${toy.service.url}/v2/health/live`)).status

function connect(): Promise<net.Socket> {
  const { hostname, port } = new URL(toy.service.url)
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => resolve(socket))
    socket.once('error', reject)
  })
}

const failures = async () => {
  const { json } = await call('GET', `${toy.service.url}/v2/models/m/stats`)
  const stats = json as { model_stats: { inference_stats: { fail: { count: number } } }[] }
  return stats.model_stats[0]?.inference_stats.fail.count ?? 0
}

describe('a sender', () => {
  it('that stops half-way and leaves is forgotten: its request fails and nothing runs', async () => {
    const before = await failures()
    const runs = toy.engine.runs.length
    const sockets = await Promise.all(Array.from({ length: 20 }, connect))
    for (const socket of sockets) socket.write(head(RIGHT.length) + RIGHT.slice(0, 30))
    await live()
    for (const socket of sockets) socket.destroy()
    await until(async () => (await failures()) === before + 20)
    expect(toy.engine.runs).toHaveLength(runs)
  })

  it('that sends a byte at a time gets its answer, and holds up nobody', async () => {
    const socket = await connect()
    let received = ''
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()))
    const request = head(RIGHT.length) + RIGHT
    for (const [index, letter] of request.split('').entries()) {
      socket.write(letter)
      await new Promise(setImmediate)
      if (index % 50 === 0)
        expect((await postJson(`${toy.service.url}/v2/models/m/infer`, JSON.parse(RIGHT))).status).toBe(200)
    }
    await until(async () => received.includes('"data":[1,2,3,4]'))
    socket.destroy()
  })

  it('whose lengths contradict each other is refused', async () => {
    const two = `POST /v2/models/m/infer HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n{}`
    expect(heard(await converse(toy.service.url, Buffer.from(two)))).toEqual(error(400))
    const both = `POST /v2/models/m/infer HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
    expect(heard(await converse(toy.service.url, Buffer.from(both)))).toEqual(error(400))
    const huge = `POST /v2/models/m/infer HTTP/1.1\r\nHost: s\r\nContent-Length: 99999999999\r\n\r\n{`
    expect(heard(await converse(toy.service.url, Buffer.from(huge)))).toEqual(error(413))
    expect(await live()).toBe(200)
  })
})

const INFER = 'POST /v2/models/m/infer HTTP/1.1\r\nHost: s\r\n'
const CHUNKED = `${INFER}Transfer-Encoding: chunked\r\n\r\n`

describe('what Node cannot read as HTTP', () => {
  const cases: [string, string, number][] = [
    ['another protocol in the request line', 'GET /v2/health/live HTTQ/1.1\r\nHost: s\r\n\r\n', 400],
    ['a method in small letters', 'get /v2/health/live HTTP/1.1\r\nHost: s\r\n\r\n', 400],
    ['a method that is none', 'G@T /v2/health/live HTTP/1.1\r\nHost: s\r\n\r\n', 400],
    ['a space within the path', 'GET /v2/models/a b HTTP/1.1\r\nHost: s\r\n\r\n', 400],
    ['a header line without colon', 'GET /v2 HTTP/1.1\r\nHost: s\r\nnonsense\r\n\r\n', 400],
    ['a space in the name of a header', 'GET /v2 HTTP/1.1\r\nHost: s\r\nA b: c\r\n\r\n', 400],
    ['a length that is no number', `${INFER}Content-Length: ten\r\n\r\n{}`, 400],
    ['a negative length', `${INFER}Content-Length: -2\r\n\r\n{}`, 400],
    ['a chunk whose length is no number', `${CHUNKED}zz\r\n{}\r\n`, 400],
    ['headers that are too long', `${INFER}A: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ]
  it.each(cases)('is refused in the words of the protocol: %s', async (_what, request, status) => {
    expect(heard(await converse(toy.service.url, Buffer.from(request)))).toEqual(error(status))
    expect(await live()).toBe(200)
  })

  const late: [string, string, string][] = [
    ['a second length', `${INFER}Content-Length: 5\r\n`, 'Content-Length: 50\r\n\r\n{}'],
    ['a broken chunk', `${CHUNKED}2\r\n{}\r\n`, 'zz\r\n'],
  ]
  it.each(late)('is refused so when it comes behind what could be read: %s', async (_what, first, then) => {
    const rest = async () => {
      await live()
      return Buffer.from(then)
    }
    expect(heard(await converse(toy.service.url, Buffer.from(first), rest))).toEqual(error(400))
  })

  it('is refused so when it comes behind a request that was answered', async () => {
    const socket = await connect()
    let received = ''
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()))
    socket.write('GET /v2/health/live HTTP/1.1\r\nHost: s\r\n\r\n')
    await until(async () => received.endsWith('{"live":true}'))
    received = ''
    socket.write('GET /v2/health/live HTTQ/1.1\r\nHost: s\r\n\r\n')
    await until(async () => answerOf(Buffer.from(received)) !== undefined)
    expect(received).toMatch(/^HTTP\/1.1 400 .*\{"error":"[^"]+"\}$/s)
    socket.destroy()
  })
})

/** By itself, Node answers these requests before any handler runs, without the body that the protocol asks for. */
describe('a request that HTTP itself forbids', () => {
  it.each([
    ['without Host', 'GET /v2/health/live HTTP/1.1\r\n\r\n', 400],
    ['that expects what nobody knows', `${INFER}Expect: wonders\r\nContent-Length: 2\r\n\r\n{}`, 417],
  ])('is refused in the words of the protocol: %s', async (_what, request, status) => {
    expect(heard(await converse(toy.service.url, Buffer.from(request)))).toEqual(error(status))
  })
})

/** Both ends of each connection, and a reserve for the other open files of the two processes. */
const WANTED = 10_000
const limit = Number(execFileSync('sh', ['-c', 'ulimit -n']).toString()) || Infinity
const count = Math.min(WANTED, limit - 500)
if (count < WANTED) process.stdout.write(`skipped: 10,000 connections need more than ulimit -n ${limit}\n`)

describe.skipIf(count < WANTED)('ten thousand connections', () => {
  it('each with half a request: the others are served, and all is free again when they leave', async () => {
    const before = await failures()
    const crowd = await startProcess({
      name: 'crowd',
      entry: new URL('./many-connections.ts', import.meta.url),
      args: [toy.service.url, String(count)],
      log: createLog('test', 'silent'),
      readyTimeoutMs: 60_000,
    })
    expect(await live()).toBe(200)
    const answer = await postJson(`${toy.service.url}/v2/models/m/infer`, JSON.parse(RIGHT))
    expect(answer.status).toBe(200)
    await crowd.stop()
    await until(async () => (await failures()) === before + count)
    expect(await live()).toBe(200)
  })
})
