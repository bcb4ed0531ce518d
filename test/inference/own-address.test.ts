/** What a service says at its start of the address by which others shall reach it. */
import http from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { freePorts } from '../../infra/start/ports.ts'
import { addressWarnings } from '../../services/inference/registration/announced-address.ts'
import { watchOwnAddress } from '../../services/inference/registration/own-address.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { withTestRedis } from '../support/redis.ts'
import { startServiceProcess } from '../support/service-process.ts'
import { startInference, type TestService } from './support/service.ts'

const LOCAL = {
  host: '127.0.0.1',
  publicUrl: '',
  redisUrl: 'redis://127.0.0.1:6379',
  benchmarkUrl: 'http://127.0.0.1:8081',
}
const HERE = 'http://127.0.0.1:8090'
const THERE = 'http://192.0.2.7:8090'
const REMOTE = { redisUrl: 'redis://192.0.2.9', benchmarkUrl: 'http://192.0.2.9:8081' }

describe('the settings of addresses', () => {
  it.each([
    ['all on one machine', LOCAL, HERE, []],
    ['all between machines', { ...REMOTE, host: '0.0.0.0', publicUrl: THERE }, THERE, []],
    [
      'a public URL, loopback as host',
      { ...LOCAL, publicUrl: THERE },
      THERE,
      [/listens on 127.0.0.1.*SCISSION_HOST=0\.0\.0\.0/],
    ],
    [
      'no public URL',
      { ...LOCAL, host: '0.0.0.0' },
      HERE,
      [/set SCISSION_PUBLIC_URL to an address of this machine/],
    ],
    [
      'a loopback name as public URL',
      { ...REMOTE, host: '0.0.0.0', publicUrl: 'http://localhost:1' },
      'http://localhost:1',
      [/SCISSION_PUBLIC_URL/],
    ],
    [
      'Redis elsewhere, all else by default',
      { ...LOCAL, redisUrl: REMOTE.redisUrl },
      HERE,
      [/SCISSION_PUBLIC_URL.*SCISSION_HOST=0\.0\.0\.0/, /SCISSION_BENCHMARK_URL/],
    ],
  ])('that are %s are warned of if they cannot work', (_what, settings, url, expected) => {
    const warnings = addressWarnings({ ...LOCAL, ...settings }, url)
    expect(warnings).toEqual(expected.map((pattern) => expect.stringMatching(pattern)))
  })
})

describe('the public URL', () => {
  const redis = withTestRedis()
  const folder = withFolder('own-address')
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  const start = async (name: string): Promise<TestService> => {
    const service = await startInference(redis().url, { SCISSION_RESOURCE: name, SCISSION_DATA: folder() })
    closing.push(() => service.stop())
    return service
  }
  const instanceOf = async ({ url }: TestService) =>
    ((await (await fetch(`${url}/healthz`)).json()) as { instance: string }).instance
  /** @returns what is said of it. */
  const watch = (url: string, instance: string): string[] => {
    const { log, lines } = recordedLog()
    const ending = new AbortController()
    const watching = watchOwnAddress({ url, instance, log, everyMs: 20 }, ending.signal)
    closing.push(() => (ending.abort(), watching))
    return lines
  }

  it('that leads here is not worth a word', async () => {
    const service = await start('mine')
    const { log, lines } = recordedLog()
    const own = { url: service.url, instance: await instanceOf(service), log }
    await watchOwnAddress(own, new AbortController().signal)
    expect(lines).toEqual([])
  })

  it('that leads to another service has that one named', async () => {
    const service = await start('other')
    const lines = watch(service.url, 'mine')
    await eventually(() =>
      expect(lines).toEqual([
        expect.stringMatching(/leads to another service.*inference service "other".*SCISSION_PUBLIC_URL/),
      ]),
    )
  })

  it('that leads nowhere is said once, and again when it leads here', async () => {
    const [port] = await freePorts(1)
    const lines = watch(`http://someone:secret@127.0.0.1:${port}`, 'mine')
    await eventually(() =>
      expect(lines).toEqual([expect.stringMatching(/does not reach itself.*ECONNREFUSED/)]),
    )
    expect(lines.join()).not.toContain('secret')
    const server = http.createServer((_request, response) =>
      response.end('{"service":"inference","instance":"mine"}'),
    )
    server.listen(port, '127.0.0.1')
    closing.push(async () => (server.closeAllConnections(), server.close()))
    await eventually(() => expect(lines.at(-1)).toMatch(/leads to this service now/))
    expect(lines).toHaveLength(2)
  })

  it('is asked by a service that starts, which runs all the same', async () => {
    const [port] = await freePorts(1)
    const service = await startServiceProcess('inference', {
      REDIS_URL: redis().url,
      SCISSION_DATA: folder(),
      SCISSION_RESOURCE: 'claims',
      SCISSION_PUBLIC_URL: `http://127.0.0.1:${port}`,
    })
    expect((await service.stop()).lastLines.join('\n')).toMatch(
      /does not reach itself by SCISSION_PUBLIC_URL/,
    )
  })
})
