/**
 * A page of another site cannot drive a service that its reader's browser reaches: not by the service's own address, and not
 * by a name of the page's that resolves to it (DNS rebinding). The last test is one in a browser, skipped without a Chromium.
 */
import http from 'node:http'
import os from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listen, type Listening } from '../../shared/platform/http-server/listen.ts'
import { createPlannerService, type PlannerService } from '../../services/planner/app.ts'
import { createLog } from '../../shared/platform/log.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { CHROMIUM, startBrowser } from '../support/browser.ts'
import { withTestRedis } from '../support/redis.ts'

if (CHROMIUM === undefined) process.stdout.write('skipped: there is no Chromium on the PATH\n')

const redis = withTestRedis()
let service: PlannerService
let listening: Listening

beforeAll(async () => {
  const env = { REDIS_URL: redis().url, SCISSION_ALLOWED_HOSTS: 'plans.example.org, other.example.org' }
  service = createPlannerService(readConfig(PLANNER_SETTINGS, env), createLog('test', 'silent'))
  listening = await listen(service.app, 0, '127.0.0.1')
})
afterAll(async () => {
  service.endStreams()
  await listening.close()
  await service.close()
})

/** Headers that `fetch` would not let a caller set. */
function ask(headers: Record<string, string>, method = 'GET', url = '/v1/networks'): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = http.request(`${listening.url}${url}`, { method, headers }, (res) => {
      res.resume()
      resolve(res.statusCode ?? 0)
    })
    asking.on('error', reject).end(method === 'POST' ? '{}' : undefined)
  })
}

describe('a Host header', () => {
  it.each([
    'localhost:1',
    '127.0.0.1',
    '10.1.2.3:8082',
    '[::1]:8082',
    '[fe80::1]',
    'planner',
    'planner:8082',
    'planner.scission.svc.cluster.local',
    'edge.local',
    'edge.internal:1',
    'plans.example.org',
    'PLANS.example.ORG:443',
    'other.example.org',
    os.hostname(),
  ])('that names the service is taken: %s', async (host) => {
    expect(await ask({ Host: host })).toBe(200)
  })

  it.each([
    'evil.example',
    'evil.example:8082',
    'plans.example.org.evil.example',
    'a.b',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
  ])('that may be a page’s own name is refused: %s', async (host) => {
    expect(await ask({ Host: host })).toBe(403)
    expect(await ask({ Host: host }, 'POST', '/v1/plans')).toBe(403)
    expect(await ask({ Host: host }, 'GET', '/docs/')).toBe(403)
    expect(await ask({ Host: host }, 'GET', '/healthz')).toBe(403)
  })
})

describe('a door that asks for tokens', () => {
  it('may have any name: a page that is taken for its own has none to show', async () => {
    const asking = await listen(service.app.at({ shows: 'everything', asks: true }), 0, '127.0.0.1')
    const { host } = new URL(asking.url)
    const status = (headers: Record<string, string>, path: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        http
          .get(`${asking.url}${path}`, { headers }, (res) => {
            res.resume()
            resolve(res.statusCode)
          })
          .on('error', reject)
      })
    expect(await status({ Host: 'models.example' }, '/healthz')).toBe(200)
    expect(await status({ Host: 'models.example' }, '/v1/networks')).toBe(401)
    expect(await status({ Host: host, Origin: 'http://evil.example' }, '/healthz')).toBe(403)
    await asking.close()
  })
})

describe('an Origin header', () => {
  it('of the same origin is taken', async () => {
    const { host } = new URL(listening.url)
    expect(await ask({ Host: host, Origin: `http://${host}` })).toBe(200)
    expect(await ask({ Host: 'plans.example.org', Origin: 'https://plans.example.org' })).toBe(200)
  })

  it.each(['http://evil.example', 'null', 'http://localhost:3000', 'file://', 'chrome-extension://x', ''])(
    'of another is refused: %j',
    async (origin) => {
      expect(await ask({ Origin: origin })).toBe(403)
      expect(await ask({ Origin: origin }, 'POST', '/v1/plans')).toBe(403)
    },
  )
})

describe('Sec-Fetch-Site', () => {
  it('of another site is refused but for a link that the reader follows', async () => {
    expect(await ask({ 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' })).toBe(403)
    expect(await ask({ 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' })).toBe(200)
    expect(
      await ask({ 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' }, 'POST', '/v1/plans'),
    ).toBe(403)
    expect(await ask({ 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Mode': 'cors' })).toBe(200)
  })
})

describe('a body', () => {
  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/json',
    'application/jsonp',
  ])('that a form of a page could send is refused where JSON is wanted: %s', async (type) => {
    expect(await ask({ 'Content-Type': type }, 'POST', '/v1/plans')).toBe(415)
    expect(await ask({ 'Content-Type': type }, 'POST', '/v1/deployments')).toBe(415)
  })

  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'application/vnd.x+json',
    'Application/JSON',
  ])('of JSON is read: %s', async (type) => {
    expect(await ask({ 'Content-Type': type }, 'POST', '/v1/plans')).toBe(400)
  })
})

describe('every answer', () => {
  it.each(['/', '/v1/networks', '/docs/', '/absent'])(
    'is shown in no frame of another page: %s',
    async (path) => {
      const { headers } = await fetch(`${listening.url}${path}`)
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('x-frame-options')).toMatch(/^(DENY|SAMEORIGIN)$/)
    },
  )
})

describe.skipIf(CHROMIUM === undefined)('a page of another site in a browser', () => {
  it('changes nothing and learns nothing', async () => {
    const page = http.createServer((_req, res) =>
      res.setHeader('Content-Type', 'text/html').end('<title>evil</title>'),
    )
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve))
    const address = page.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const browser = await startBrowser({ 'evil.example': '127.0.0.1' })
    try {
      const { evaluate } = await browser.open(`http://evil.example:${port}/`)
      const post = (type: string) =>
        evaluate(
          `fetch('${listening.url}/v1/links/a/b', { method: 'POST', mode: 'no-cors', headers: { 'Content-Type': '${type}' }, body: '{"rttMs":1,"bandwidthMbps":1}' }).then((r) => r.type, String)`,
        )
      expect(await post('text/plain')).toBe('opaque')
      const put = `fetch('${listening.url}/v1/links/a/b', { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: '{}' }).then((r) => r.status, () => 'failed')`
      expect(await evaluate(put)).toBe('failed')
      // Its own name leads to the service now.
      const own = new URL(listening.url)
      own.hostname = 'evil.example'
      const rebound = await browser.open(own.href)
      expect(await rebound.evaluate('document.body.innerText')).toContain('SCISSION_ALLOWED_HOSTS')
      const read = await rebound.evaluate(`fetch('/v1/links').then((r) => r.status)`)
      expect(read).toBe(403)
    } finally {
      await browser.close()
      page.close()
    }
    const links = (await (await fetch(`${listening.url}/v1/links`)).json()) as { items: unknown[] }
    expect(links.items).toEqual([])
  })
})
