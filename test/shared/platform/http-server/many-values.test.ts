/** A body of very many values is refused before its schema looks at any of them. */
import { afterEach, expect, it } from 'vitest'
import { z } from 'zod'
import type { Access } from '../../../../shared/platform/access/identity.ts'
import { type Listening, listen } from '../../../../shared/platform/http-server/listen.ts'
import { route } from '../../../../shared/platform/http-server/route.ts'
import { JSON_TYPE } from '../../../support/json-type.ts'
import { exampleApp } from '../../../support/example-app.ts'

let listening: Listening | undefined
let seen = 0
afterEach(() => listening?.close())

async function serve(access: Access, maxValues?: number): Promise<(body: unknown) => Promise<Response>> {
  seen = 0
  const item = z.unknown().superRefine(() => {
    seen += 1
  })
  const app = exampleApp([
    route({
      method: 'post',
      path: '/v1/things',
      id: 'makeThings',
      access,
      summary: 'make things',
      body: z.object({ things: z.array(item) }),
      ...(maxValues !== undefined && { maxValues }),
      answers: {},
      handle: ({ body }) => ({ count: body.things.length }),
    }),
  ])
  listening = await listen(app, 0, '127.0.0.1')
  const url = `${listening.url}/v1/things`
  return (body) => fetch(url, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) })
}

const list = (length: number) => ({ things: Array.from({ length }, () => 1) })

it('flat or nested', async () => {
  const post = await serve('read')
  const nested = { things: Array.from({ length: 101 }, () => Object.fromEntries(list(100).things.entries())) }
  for (const body of [list(10_000), nested]) {
    const refused = await post(body)
    expect(refused.status).toBe(413)
    expect(await refused.text()).toContain('more than 10000 values')
  }
  expect(seen).toBe(0)
  expect(await (await post(list(9999))).json()).toEqual({ count: 9999 })
})

it('unless the route says how many it takes, or machines say it to each other', async () => {
  const post = await serve('operate', 20_001)
  expect((await post(list(20_000))).status).toBe(200)
  expect((await post(list(20_001))).status).toBe(413)
  await listening?.close()
  const tell = await serve('machine')
  expect((await tell(list(50_000))).status).toBe(200)
})
