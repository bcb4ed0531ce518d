/** Machines with a quota of CPU time, which are stopped while a link is measured: a stop is no property of the link. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Links } from '../../../services/inference/links/links.ts'
import { type LinkMeasurement, measureWith } from '../../../services/inference/links/measure-link.ts'
import { Peers } from '../../../services/inference/registration/peers.ts'
import { SERVER_TIMING, writeServerTiming } from '../../../shared/platform/transfer-times.ts'
import { exampleResource } from '../../support/fixtures.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { withTestRedis } from '../../support/redis.ts'
import { type StubServer, stubServer } from '../../support/stub-server.ts'

const STOP_MS = 200
/** Two sizes are sent: 12 and 48 kB. */
const LARGEST_BYTES = 48 * 1024
/** Larger than any head, and than the messages that are no transfers. */
const isTransfer = (bytes: number) => bytes > 1024

const servers: StubServer[] = []
afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

/**
 * A peer that stops at transfers.
 * @param at whether it does at the n-th transfer. @param tells whether the stops are the peer's own; else they are of this side.
 */
async function peerThatStops(
  at: (transfer: number, bytes: number) => boolean,
  tells: boolean,
  largestBytes = LARGEST_BYTES,
) {
  const seen = { transfers: 0, stops: 0 }
  const stop = async () => {
    await sleep(STOP_MS)
    seen.stops += 1
  }
  const answer: Parameters<typeof stubServer>[0] = async (req, res, body) => {
    const asked = Number(new URL(req.url ?? '/', 'http://peer').searchParams.get('bytes') ?? 1)
    const size = Math.max(body.length, asked)
    const stops = isTransfer(size) && at((seen.transfers += 1), size)
    if (req.method === 'GET') {
      // The head is on its way before the stop.
      res.flushHeaders()
      if (stops) await stop()
      res.end(Buffer.alloc(asked))
      return
    }
    if (stops) await stop()
    const told = tells ? seen.stops : undefined
    res.setHeader(SERVER_TIMING, writeServerTiming(0, { restBytes: 0, slope: 0, lateMs: 0 }, told)).end('{}')
  }
  // As long as the services keep connections: the transfers take longer than Node's five seconds.
  const server = await stubServer(answer, { keepAliveTimeout: 65_000 })
  servers.push(server)
  const { url } = server
  const peer = { resource: exampleResource('edge', { url }), url, emulation: undefined }
  const stops = {
    get count() {
      return tells ? 0 : seen.stops
    },
    get stoppedMs() {
      return this.count * STOP_MS
    },
  }
  return { seen, measure: () => measureWith(stops, peer, largestBytes) }
}

describe.each([
  ['this machine', false],
  ['the peer, as it tells', true],
])('a link that is measured while the quota stops %s', (_who, tells) => {
  it('is known by the transfers that were not stopped', async () => {
    const { seen, measure } = await peerThatStops((transfer) => transfer % 2 === 1, tells)
    const { samples, stopped } = await measure()
    expect(stopped).toBe(false)
    expect(seen.stops).toBeGreaterThan(3)
    expect(samples.length).toBeGreaterThan(7)
    expect(Math.max(...samples.map(({ ms }) => ms))).toBeLessThan(STOP_MS)
  })

  it('is known to little, and says so, where all of them were', async () => {
    const { measure } = await peerThatStops(() => true, tells)
    const { figures, samples, stopped } = await measure()
    expect(stopped).toBe(true)
    const { bandwidthMbps, returnBandwidthMbps } = figures
    for (const { value, halfWidth } of [bandwidthMbps, returnBandwidthMbps])
      expect(halfWidth / value).toBeGreaterThan(0.7)
    // The stops of the other machine cannot be taken off: it tells how many, not how long.
    const longest = Math.max(...samples.map(({ ms }) => ms))
    if (tells) expect(longest).toBeGreaterThanOrEqual(STOP_MS)
    else expect(longest).toBeLessThan(STOP_MS)
  })

  it('is not asked for more than the machine can send without a stop', async () => {
    const { measure } = await peerThatStops(
      (_transfer, bytes) => bytes >= LARGEST_BYTES,
      tells,
      8 * LARGEST_BYTES,
    )
    const { samples, stopped } = await measure()
    expect(stopped).toBe(true)
    expect(Math.max(...samples.map(({ bytes }) => bytes))).toBeLessThan(2 * LARGEST_BYTES)
  })
})

describe('a measurement that shows stops', () => {
  const redis = withTestRedis()

  /** Links whose measurements find so many Mbit/s one after the other; 0: stops. */
  function linksThatFind(state: ReturnType<ReturnType<typeof redis>['openState']>, outcomes: number[]) {
    const { log, lines } = recordedLog()
    const estimate = (value: number) => ({ value, halfWidth: 0.1 })
    const measured = (mbps: number): LinkMeasurement => ({
      figures: {
        rttMs: estimate(1),
        bandwidthMbps: estimate(mbps || 0.2),
        returnBandwidthMbps: estimate(mbps || 0.2),
        perMessageMs: estimate(1),
        jitterMs: 1,
      },
      probes: 1,
      samples: [],
      own: { message: { ms: 0, spreadMs: 0 }, pingMs: 0 },
      stopped: mbps === 0,
    })
    const links = new Links({
      resource: 'device',
      tierIndex: 0,
      state,
      peers: new Peers(state, {}, 60_000),
      linkIntervalMs: 3_600_000,
      log,
      measureLink: () => Promise.resolve(measured(outcomes.shift() ?? 0)),
    })
    return { links, lines }
  }

  it('is repeated as long as the peer lives, a few times, and never takes the place of a better one', async () => {
    const state = redis().openState()
    await state.redis.flushall()
    await state.resources.put('edge', exampleResource('edge', { tier: 'edge' }))
    const outcomes = [0, 0, 50, 0]
    const { links, lines } = linksThatFind(state, outcomes)
    const stored = async () => (await state.links.get('device>edge'))?.bandwidthMbps
    vi.useFakeTimers({ toFake: ['performance'], now: Date.now() })
    const heartbeat = () => links.onChange({ kind: 'resources', id: 'edge' })
    try {
      links.start()
      await vi.waitFor(async () => expect(await stored()).toBe(0.2))
      heartbeat()
      vi.advanceTimersByTime(10_001)
      heartbeat()
      await vi.waitFor(() => expect(outcomes).toEqual([50, 0]))
      vi.advanceTimersByTime(10_001)
      heartbeat()
      await vi.waitFor(async () => expect(await stored()).toBe(50))
      const asked = await links.measure(['edge'])
      expect(asked[0]?.bandwidthMbps).toBe(0.2)
      expect(await stored()).toBe(50)
      expect(lines.filter((line) => line.includes('quotas of CPU time stopped'))).toHaveLength(3)
    } finally {
      links.close()
    }
  })
})
