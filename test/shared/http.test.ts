import { JSON_TYPE } from '../support/json-type.ts'
import net from 'node:net'
import os from 'node:os'
import type { Request, Response } from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { ScissionError } from '../../shared/platform/errors.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import { reply, route } from '../../shared/platform/http-server/route.ts'
import { openEventStream } from '../../shared/platform/http-server/server-sent-events.ts'
import { createLog } from '../../shared/platform/log.ts'
import { exampleApp } from '../support/example-app.ts'

let listening: Listening | undefined
afterEach(() => listening?.close())

/** Answers /v1/late. */
let onLateStream: (req: Request, res: Response) => void = () => {}

let readiness: () => Promise<void> = () => Promise.resolve()

async function serve(): Promise<string> {
  const app = createApp({
    name: 'example',
    log: createLog('test', 'silent'),
    facts: () => ({ redis: 'emulated' }),
    ready: () => readiness(),
    routes: [
      route({
        method: 'post',
        path: '/v1/things/:id',
        id: 'makeThing',
        access: 'anyone',
        summary: 'make a thing',
        params: z.object({ id: z.string().max(5) }),
        query: z.object({ count: z.coerce.number().int().min(1).default(1) }),
        body: z.strictObject({ size: z.number().positive() }),
        answers: { 201: { description: 'made', schema: z.object({ total: z.number() }) } },
        handle: ({ params, query, body }) =>
          reply(201, { id: params.id, total: query.count * body.size }, { Location: '/here' }),
      }),
      route({
        method: 'get',
        path: '/v1/fail',
        id: 'fail',
        access: 'anyone',
        summary: 'fails',
        answers: {},
        handle: () => Promise.reject(new ScissionError('infeasible', 'no plan', { why: 'test' })),
      }),
      route({
        method: 'get',
        path: '/v2/fail',
        id: 'failInProtocol',
        access: 'anyone',
        summary: 'fails',
        answers: {},
        handle: () => Promise.reject(new Error('bug')),
      }),
      route({
        method: 'get',
        path: '/v1/events',
        id: 'streamEvents',
        access: 'anyone',
        summary: 'streams',
        answers: { 200: { description: 'events', contentType: 'text/event-stream' } },
        handle: (_input, req, res) => {
          const tick = (n: number) => ({ name: 'tick', data: { n }, last: n === 2 })
          const stream = openEventStream(req, res, tick(1))
          void stream.send(tick(1)).then(() => stream.send(tick(2)))
        },
      }),
      route({
        method: 'get',
        path: '/v1/late',
        id: 'streamLate',
        access: 'anyone',
        summary: 'streams later',
        answers: { 200: { description: 'events', contentType: 'text/event-stream' } },
        handle: (_input, req, res) => onLateStream(req, res),
      }),
    ],
  })
  listening = await listen(app, 0, '127.0.0.1')
  return listening.url
}

const post = (url: string, body: string) => fetch(url, { method: 'POST', headers: JSON_TYPE, body })

describe('a service', () => {
  it('hands validated path, query and body to the handler and sends its reply', async () => {
    const url = await serve()
    const response = await post(`${url}/v1/things/abc?count=3`, '{"size":2}')
    expect(response.status).toBe(201)
    expect(response.headers.get('location')).toBe('/here')
    expect(await response.json()).toEqual({ id: 'abc', total: 6 })
  })

  it('answers 400 naming every field that is wrong', async () => {
    const url = await serve()
    const response = await post(`${url}/v1/things/abc`, '{"size":-1,"extra":2}')
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as {
      error: { code: string; details: { fields: { field: string }[] } }
    }
    expect(error.code).toBe('badRequest')
    expect(error.details.fields.map((fault) => fault.field)).toContain('size')
  })

  it('answers 400 to a body that is not JSON and 413 to one that is too large', async () => {
    const url = await serve()
    expect((await post(`${url}/v1/things/abc`, '{"size":')).status).toBe(400)
    const large = await post(`${url}/v1/things/abc`, JSON.stringify({ size: 1, pad: 'x'.repeat(5_000_000) }))
    expect(large.status).toBe(413)
    expect(await large.json()).toMatchObject({ error: { code: 'payloadTooLarge' } })
  })

  it('gives errors their status, code and details, in the protocol’s form under /v2', async () => {
    const url = await serve()
    const own = await fetch(`${url}/v1/fail`)
    expect(own.status).toBe(422)
    expect(await own.json()).toEqual({
      error: { code: 'infeasible', message: 'no plan', details: { why: 'test' } },
    })
    const protocol = await fetch(`${url}/v2/fail`)
    expect(protocol.status).toBe(500)
    expect(await protocol.json()).toEqual({ error: 'bug' })
  })

  it('answers 405 with the allowed methods to another method and 404 to another path', async () => {
    const url = await serve()
    const wrongMethod = await fetch(`${url}/v1/things/abc`)
    expect(wrongMethod.status).toBe(405)
    expect(wrongMethod.headers.get('allow')).toBe('POST')
    expect((await fetch(`${url}/v1/other`)).status).toBe(404)
    const readable = await fetch(`${url}/healthz`, { method: 'PUT' })
    expect([readable.status, readable.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    const protocol = await fetch(`${url}/v2/nothing`)
    expect(protocol.status).toBe(404)
    expect(await protocol.json()).toEqual({ error: 'Not Found' })
  })

  it('says what it stands on in /healthz and why it is not ready in /readyz', async () => {
    const url = await serve()
    expect(await (await fetch(`${url}/healthz`)).json()).toMatchObject({
      service: 'example',
      redis: 'emulated',
    })
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    readiness = () => Promise.reject(new Error('Redis is away'))
    const unready = await fetch(`${url}/readyz`)
    readiness = () => Promise.resolve()
    expect(unready.status).toBe(503)
    expect(await unready.json()).toEqual({ ready: false, reason: 'Redis is away' })
  })

  it('describes its routes in /openapi.json and shows them in /docs without foreign hosts', async () => {
    const url = await serve()
    const description = (await (await fetch(`${url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { parameters: { name: string }[] }>>
    }
    expect(description.paths['/v1/things/{id}']?.post?.parameters.map((parameter) => parameter.name)).toEqual(
      ['id', 'count', 'Scission-At-Least-Revision'],
    )
    const page = await (await fetch(`${url}/docs/`)).text()
    expect(page).not.toMatch(/https?:/)
    const script = await fetch(`${url}/docs/swagger-ui-bundle.js`)
    expect(script.status).toBe(200)
    expect((await script.text()).length).toBeGreaterThan(100_000)
  })

  it('names its address so that it can be called, also one of IPv6', async () => {
    const networks = Object.values(os.networkInterfaces()).flat()
    const host = networks.some((one) => one?.address === '::1') ? '::1' : '127.0.0.1'
    listening = await listen((_req, res) => res.end('here'), 0, host)
    expect(await (await fetch(listening.url)).text()).toBe('here')
  })

  it('counts requests by route in /metrics', async () => {
    const url = await serve()
    await post(`${url}/v1/things/abc`, '{"size":2}')
    const text = await (await fetch(`${url}/metrics`)).text()
    expect(text).toMatch(/scission_http_request_duration_seconds_count\{.*route="\/v1\/things\/:id".*\} 1/)
  })

  it('streams server-sent events with ids and ends by itself', async () => {
    const url = await serve()
    const text = await (await fetch(`${url}/v1/events`)).text()
    const events =
      /^retry: 1000\n\nid: tick\.[0-9a-f]{16}\nevent: tick\ndata: \{"n":1\}\n\nid: (\S+)\nevent: tick\ndata: \{"n":2\}\n\n$/
    expect(text).toMatch(events)
  })

  it('tells the stream of a client that had left before it was opened that it is closed', async () => {
    const opened = new Promise<boolean>((resolve) => {
      onLateStream = (req, res) => {
        res.once('close', () =>
          resolve(openEventStream(req, res, { name: 'tick', data: {}, last: false }).closed.aborted),
        )
      }
    })
    const socket = net.connect(Number(new URL(await serve()).port), '127.0.0.1')
    socket.write('GET /v1/late HTTP/1.1\r\nHost: here\r\n\r\n', () => setTimeout(() => socket.destroy(), 50))
    expect(await opened).toBe(true)
  })
})

describe('a direct route', () => {
  /** Says by which way a request came, and what it was told. */
  async function serveDirect(): Promise<string> {
    const app = exampleApp([
      route({
        method: 'post',
        path: '/v2/things/:thing/parts/:from-:to/make',
        id: 'readRange',
        access: 'anyone',
        summary: 'make',
        params: z.object({ thing: z.string(), from: z.string(), to: z.string() }),
        answers: {},
        handle: ({ params }) => ({ by: 'express', ...params }),
        direct: (params, _req, res) => {
          if (params['thing'] === 'broken')
            return Promise.reject(new ScissionError('notFound', 'no such thing'))
          res.end(JSON.stringify({ by: 'node', ...params }))
          return Promise.resolve()
        },
      }),
    ])
    listening = await listen(app, 0, '127.0.0.1')
    return listening.url
  }
  const make = async (path: string) => {
    const response = await post(`${await serveDirect()}${path}`, '')
    return { status: response.status, body: await response.json() }
  }

  it.each([
    ['/v2/things/a/parts/1-3/make', 'node', 'a'],
    ['/v2/things/a%20%2Fb/parts/1-3/make', 'node', 'a /b'],
    ['/v2/things/a/parts/1-3/make?x=/y', 'node', 'a'],
    // Spelled otherwise, it is the same address to Express.
    ['/V2/things/a/parts/1-3/make/', 'express', 'a'],
  ])('%s is answered by %s', async (path, by, thing) => {
    expect(await make(path)).toEqual({ status: 200, body: { by, thing, from: '1', to: '3' } })
  })

  it('fails as others do: by its own error, a broken address, another method', async () => {
    expect(await make('/v2/things/broken/parts/1-3/make')).toEqual({
      status: 404,
      body: { error: 'no such thing' },
    })
    await listening?.close()
    expect((await make('/v2/things/%zz/parts/1-3/make')).status).toBe(400)
    const other = await fetch(`${listening?.url}/v2/things/a/parts/1-3/make`)
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'POST'])
  })

  it('is counted like the others', async () => {
    await make('/v2/things/a/parts/1-3/make')
    const metrics = await (await fetch(`${listening?.url}/metrics`)).text()
    expect(metrics).toMatch(
      /request_duration_seconds_count\{method="POST",route="\/v2\/things\/:thing\/parts\/:from-:to\/make",status="200"\} 1/,
    )
  })
})
