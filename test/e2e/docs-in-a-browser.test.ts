/**
 * The documentation pages of a running system in a real browser, from another host: by a name that is not localhost, which
 * browsers trust more than others, and by the machine's other address. Skipped without a Chromium.
 */
import os from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from '../../shared/platform/http-server/app.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { type Browser, CHROMIUM, type Page, startBrowser } from '../support/browser.ts'
import { startedOnce } from '../support/started.ts'
import { startTestSystem } from '../support/system.ts'

if (CHROMIUM === undefined) process.stdout.write('skipped: there is no Chromium on the PATH\n')

const HOST = 'scission.internal'
const SERVICES = ['benchmark', 'planner', 'device'] as const
const otherAddress = Object.values(os.networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address

describe.skipIf(CHROMIUM === undefined)('the documentation page in a browser on another machine', () => {
  const system = startedOnce(startTestSystem, (one) => one.close())
  let browser: Browser
  beforeAll(async () => {
    browser = await startBrowser({ [HOST]: '127.0.0.1' })
  })
  afterAll(() => browser.close())

  const urlOf = (service: (typeof SERVICES)[number]): string => {
    const { benchmarkUrl, plannerUrl, resources } = system()
    const device = resources.find(({ name }) => name === 'device')?.url ?? ''
    return { benchmark: benchmarkUrl, planner: plannerUrl, device }[service]
  }

  it.each(SERVICES)('shows every call of the %s, and makes one, all from where it came', async (service) => {
    const url = new URL(urlOf(service))
    const { paths } = (await (await fetch(`${url.origin}/openapi.json`)).json()) as { paths: object }
    const calls = Object.values(paths).flatMap((operations: object) => Object.keys(operations)).length
    url.hostname = HOST
    const page = await browser.open(`${url.origin}/docs/`)
    await expect.poll(() => count(page, '.opblock')).toBe(calls)
    expect(await text(page, '#begin')).toMatch(/Begin with:[^]*Other services: .*\w/)
    expect(await count(page, '.errors-wrapper')).toBe(0)

    const health = '#operations-Service-readHealth'
    await click(page, `${health} .opblock-summary-control`)
    await click(page, `${health} .try-out__btn`)
    await click(page, `${health} .execute`)
    const answered = `${health} .live-responses-table .response-col_status`
    await expect.poll(() => text(page, `${answered}:not(.col_header)`)).toContain('200')

    expect(page.requests).toContain(`${url.origin}/healthz`)
    expect(page.requests.filter((asked) => !asked.startsWith(`${url.origin}/`) && isRemote(asked))).toEqual(
      [],
    )
    expect(page.complaints).toEqual([])

    const front = await browser.open(`${url.origin}/`)
    await expect.poll(() => text(front, 'body')).toContain('Begin with:')
    expect([front.complaints, front.requests.filter((asked) => !asked.startsWith(url.origin))]).toEqual([
      [],
      [],
    ])
  })

  it.skipIf(otherAddress === undefined)('is there at the machine’s other address', async () => {
    const app = createApp({
      name: 'example',
      log: createLog('test', 'silent'),
      facts: () => ({}),
      ready: () => Promise.resolve(),
      routes: [],
    })
    const listening = await listen(app, 0, otherAddress ?? '')
    try {
      const page = await browser.open(`${listening.url}/docs/`)
      await expect.poll(() => count(page, '.opblock')).toBe(5)
      expect(page.requests.filter((asked) => !asked.startsWith(listening.url) && isRemote(asked))).toEqual([])
      expect(page.complaints).toEqual([])
    } finally {
      await listening.close()
    }
  })
})

const isRemote = (url: string) => !url.startsWith('data:') && !url.startsWith('blob:')

const count = (page: Page, selector: string) =>
  page.evaluate(`document.querySelectorAll(${JSON.stringify(selector)}).length`)

const text = (page: Page, selector: string) =>
  page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`)

/** Once it is there. */
async function click(page: Page, selector: string): Promise<void> {
  await expect.poll(() => count(page, selector)).toBeGreaterThan(0)
  await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`)
}
