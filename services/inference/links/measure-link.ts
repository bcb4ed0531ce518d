/**
 * Measures one link by using it, in about 3 s on a 3G link: tiny requests for the round trip and for what a message
 * costs, then payloads in each direction, growing until one takes long enough to see the bandwidth.
 */
import { randomFillSync } from 'node:crypto'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Link } from '../../../shared/contracts/resource.ts'
import type { Peer } from '../registration/peers.ts'
import { bandwidth, roundTrip, transferMs, type TransferSample, typical, withDoubt } from './estimate-link.ts'
import type { LinkFigures } from './link-figures.ts'
import { doubtOf, measureOwnCost, type OwnCost } from './own-cost.ts'
import { shown } from './traffic.ts'
import { type Ping, Pinger } from './pinger.ts'
import { ProbeClient, type ProbeTimes } from './probe-client.ts'

/** Before, between and after the transfers: a machine that is busy for a second must not count as a long link. */
const ROUND_TRIPS = { least: 2, most: 12, forMs: 250 }
const FIRST_BYTES = 12 * 1024
const GROWTH = 4
/** A transfer of this length shows the bandwidth well; */
const ENOUGH_MS = 60
/** and one much longer than that only takes time: the next size is chosen not to. */
const AIM_MS = 130
export const LARGEST_PROBE_BYTES = 16 * 1024 * 1024
export const DEFAULT_PROBE_BYTES = 4 * 1024 * 1024
const REPEATS = { small: 2, last: 3 }
/** So many transfers that show the bandwidth by themselves are enough. */
const SHOWN = 3
const TIMEOUT_MS = 20_000

/** Incompressible, in case something on the way compresses. */
const noise = randomFillSync(new Uint8Array(FIRST_BYTES))

export interface LinkMeasurement {
  figures: LinkFigures
  probes: number
  samples: Link['samples']
  own: OwnCost
}

/**
 * @param largestBytes the largest tensors that may cross the link: payloads grow up to this when the link is fast.
 * @throws ScissionError peerUnavailable naming the peer.
 */
export async function measureLink(
  peer: Pick<Peer, 'url' | 'resource'>,
  largestBytes = DEFAULT_PROBE_BYTES,
): Promise<LinkMeasurement> {
  const url = `${peer.url.replace(/\/$/, '')}/v1/link-probe`
  const limit = Math.min(LARGEST_PROBE_BYTES, Math.max(4 * FIRST_BYTES, largestBytes))
  const client = new ProbeClient(TIMEOUT_MS)
  const pinger = new Pinger(new URL(url), TIMEOUT_MS)
  const pings: Ping[] = []
  const up = (bytes: number) => client.send({ method: 'POST', url, body: payload(bytes) })
  const down = (bytes: number) => client.send({ method: 'GET', url: `${url}?bytes=${bytes}`, body: [] })
  try {
    // Side by side: each sets up a connection and wakes what has slept.
    const [own] = await Promise.all([measureOwnCost(), up(1), pinger.ping()])
    await roundTrips(pinger, pings)
    const sent = await transfers(up, limit)
    await roundTrips(pinger, pings)
    const received = await transfers(down, limit)
    await roundTrips(pinger, pings)
    return fit(pings, sent, received, own)
  } catch (error) {
    const resource = peer.resource.name
    const message = error instanceof Error && error.message ? error.message : 'no answer'
    throw new ScissionError(
      'peerUnavailable',
      `the link to ${resource} (${peer.url}) cannot be measured: ${message}`,
      { resource },
      error,
    )
  } finally {
    client.close()
    pinger.close()
  }
}

type Send = (bytes: number) => Promise<ProbeTimes>

async function roundTrips(pinger: Pinger, into: Ping[]): Promise<void> {
  const { least, most, forMs } = ROUND_TRIPS
  const until = performance.now() + forMs
  for (let run = 0; run < most; run += 1) {
    if (run >= least && performance.now() > until) return
    into.push(await pinger.ping())
  }
}

async function transfers(send: Send, limitBytes: number): Promise<ProbeTimes[]> {
  const all: ProbeTimes[] = []
  let bytes = FIRST_BYTES
  for (;;) {
    const times: ProbeTimes[] = []
    for (let run = 0; run < REPEATS.small; run += 1) times.push(await send(bytes))
    const fastest = Math.min(...times.map((probe) => probe.totalMs))
    // Two sizes at least: one point has no slope.
    const last = (bytes > FIRST_BYTES && fastest >= ENOUGH_MS) || bytes >= limitBytes
    if (last) for (let run = REPEATS.small; run < REPEATS.last; run += 1) times.push(await send(bytes))
    all.push(...times)
    if (last) return all
    const growth = Math.min(GROWTH, Math.max(2, AIM_MS / fastest))
    bytes = Math.min(limitBytes, Math.round(bytes * growth))
  }
}

function payload(bytes: number): Uint8Array[] {
  const whole = Array.from({ length: Math.floor(bytes / noise.length) }, () => noise)
  return [...whole, noise.subarray(0, bytes % noise.length)]
}

/**
 * Bandwidths first: from how the pieces of each transfer came in where that can be seen, on fast links from the slope
 * of time over size; no fixed cost moves either. Then the bytes of the pings are taken off their times,
 * which leaves the round trip. What a message costs beyond it is the typical remainder of the transfers.
 */
function fit(pings: Ping[], sent: ProbeTimes[], received: ProbeTimes[], own: OwnCost): LinkMeasurement {
  const up = sent.map((probe): TransferSample => ({ bytes: probe.sentBytes, ms: probe.totalMs }))
  const down = received.map((probe): TransferSample => ({ bytes: probe.receivedBytes, ms: probe.totalMs }))
  const bandwidthMbps =
    shown(
      sent.flatMap((probe) => probe.up ?? []),
      SHOWN,
    ) ?? bandwidth(up)
  const returnBandwidthMbps =
    shown(
      received.map((probe) => probe.down),
      SHOWN,
    ) ?? bandwidth(down)
  const without = (ms: number, { sentBytes, receivedBytes }: Omit<Ping, 'ms'>) =>
    ms - transferMs(sentBytes, bandwidthMbps.value) - transferMs(receivedBytes, returnBandwidthMbps.value)
  const rttMs = withDoubt(
    roundTrip(pings.map((ping) => Math.max(0, without(ping.ms, ping) - own.pingMs))),
    // Over a link a ping wakes processes that have slept for a round trip: as a message here does, not as a ping.
    doubtOf(own.message),
  )
  // The shortest transfers: the bandwidth's error counts least in them.
  const short = [...sent, ...received].sort((a, b) => a.totalMs - b.totalMs).slice(0, 2 * REPEATS.small)
  const beyond = typical(short.map((probe) => without(probe.totalMs, probe) - rttMs.value))
  const perMessageMs = { value: Math.max(0, beyond.value), halfWidth: beyond.halfWidth }
  return {
    figures: { rttMs, bandwidthMbps, returnBandwidthMbps, perMessageMs },
    own,
    probes: pings.length + sent.length + received.length,
    samples: [
      ...up.map((sample) => ({ ...sample, direction: 'up' as const })),
      ...down.map((sample) => ({ ...sample, direction: 'down' as const })),
    ],
  }
}
