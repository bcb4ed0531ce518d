/** What a newcomer meets first: the front page and the documentation, also from another machine. */
import { afterEach, describe, expect, it } from 'vitest'
import { createApp } from '../../../../shared/platform/http-server/app.ts'
import { type Listening, listen } from '../../../../shared/platform/http-server/listen.ts'
import { route, tagged } from '../../../../shared/platform/http-server/route.ts'
import { createLog } from '../../../../shared/platform/log.ts'

let listening: Listening | undefined
afterEach(() => listening?.close())

async function serve(begin: string[], neighbours = () => ({})): Promise<string> {
  const things = route({
    method: 'get',
    path: '/v1/things/:id',
    id: 'readThing',
    access: 'anyone',
    summary: 'A <thing> by its `id`',
    answers: {},
    handle: () => ({}),
  })
  const app = createApp({
    name: 'example',
    description: 'Keeps things.',
    begin,
    neighbours,
    log: createLog('test', 'silent'),
    facts: () => ({}),
    ready: () => Promise.resolve(),
    routes: tagged('Things', 'All of them', [things]),
  })
  listening = await listen(app, 0, '127.0.0.1')
  return listening.url
}

describe('the front page', () => {
  it('is JSON with links for curl, and a page for a browser', async () => {
    const url = await serve(['readThing'])
    const answer = await fetch(url, { headers: { Accept: '*/*' } })
    expect(await answer.json()).toMatchObject({
      service: 'example',
      links: { docs: '/docs/', openapi: '/openapi.json' },
      begin: [{ method: 'GET', path: '/v1/things/{id}', docs: '/docs/#/Things/readThing' }],
    })
    const page = await fetch(url, { headers: { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } })
    expect(page.headers.get('content-type')).toContain('text/html')
    const text = await page.text()
    expect(text).toContain('href="docs/#/Things/readThing"')
    expect(text).toContain('A &#60;thing&#62; by its <code>id</code>')
  })

  it('shows what a machine says of itself without doing what it says', async () => {
    const url = await serve([], () => ({
      'a\u001b[2J\u202eb<i>': 'http://192.0.2.7:8090',
      bad: 'javascript:alert(1)//',
    }))
    const text = await (await fetch(url, { headers: { Accept: 'text/html' } })).text()
    expect(text).toContain('a\\u001b[2J\\u202eb&#60;i&#62;')
    expect(text).toContain('bad: javascript:alert(1)//')
    for (const raw of ['href="javascript:', '\u001b', '\u202e']) expect(text).not.toContain(raw)
  })

  it('names a service on the same machine as the client called this one', async () => {
    const url = await serve([], () => ({
      planner: 'http://127.0.0.1:8082',
      edge: 'http://192.0.2.7:8090',
      none: '',
    }))
    const answer = await fetch(url)
    expect(await answer.json()).toMatchObject({
      services: { planner: 'http://127.0.0.1:8082', edge: 'http://192.0.2.7:8090' },
    })
    const elsewhere = await fetch(url.replace('127.0.0.1', 'localhost'))
    expect(await elsewhere.json()).toMatchObject({
      services: { planner: 'http://localhost:8082', edge: 'http://192.0.2.7:8090' },
    })
  })

  it('says why the other services are not known, and is there all the same', async () => {
    const url = await serve([], () => {
      throw new Error('Redis is away')
    })
    expect(await (await fetch(url)).json()).toMatchObject({ services: { unknown: 'Redis is away' } })
  })

  it('cannot begin with a call that is not there: the service does not start', async () => {
    await expect(serve(['nothing'])).rejects.toThrow('no route is called nothing')
  })
})

describe('the documentation page', () => {
  it('sends no header that makes a browser expect HTTPS', async () => {
    const url = await serve(['readThing'])
    for (const path of ['/docs/', '/docs/swagger-ui-bundle.js', '/docs/start.js']) {
      const { headers, status } = await fetch(url + path)
      expect(status).toBe(200)
      expect(headers.get('content-security-policy')).toContain("script-src 'self'")
      expect(headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests')
      for (const name of ['strict-transport-security', 'cross-origin-opener-policy', 'origin-agent-cluster'])
        expect(headers.get(name), name).toBeNull()
    }
  })

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('is only read: %s is not allowed', async (method) => {
    const url = await serve(['readThing'])
    for (const path of ['/docs', '/docs/', '/docs/start.js', '/docs/swagger-ui.css']) {
      const { status, headers } = await fetch(url + path, { method })
      expect([path, status, headers.get('allow')]).toEqual([path, 405, 'GET, HEAD'])
    }
  })

  it('has relative links only, and says where to begin', async () => {
    const url = await serve(['readThing'])
    const page = await (await fetch(`${url}/docs`)).text()
    expect(page).toContain('href="../docs/#/Things/readThing"')
    expect(page).not.toMatch(/(src|href)="\//)
    expect(await (await fetch(`${url}/docs/start.js`)).text()).toContain('validatorUrl: null')
  })
})
