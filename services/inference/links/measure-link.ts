/**
 * Measures one link with probes, in about 3 s on a 3G link: tiny requests for the round trip and the cost of a message,
 * then payloads in each direction, which grow until one takes long enough to show the bandwidth.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Link } from '../../../shared/contracts/resource.ts'
import type { Peer } from '../registration/peers.ts'
import {
  bandwidth,
  type Estimate,
  jitter,
  latenessOf,
  type LinkFigures,
  positive,
  roundTrip,
  transferMs,
  type TransferSample,
  typical,
  unsure,
  withDoubt,
} from './estimate-link.ts'
import { measureOwnCost, type OwnCost } from './own-cost.ts'
import { checkAnsweredBy } from './answered-by.ts'
import { type OnAnswer, type Ping, Pinger } from './pinger.ts'
import { PROBE_TIMEOUT_MS, probeUrl, roundTrips } from './ping-series.ts'
import { FIRST_BYTES, Prober, type ProbeTimes, type Send } from './probe.ts'
import { shownBandwidth } from './rates.ts'
import { StopClock, type Stops } from './stop-clock.ts'

const GROWTH = 4
/** A transfer that takes so much longer than a round trip shows the bandwidth well. */
const MIN_TRANSFER_MS = 60
/** The next payload is chosen to take about this long beside the round trip: a longer one would only cost time. */
const TARGET_TRANSFER_MS = 130
export const MAX_PROBE_BYTES = 16 * 1024 * 1024
export const DEFAULT_PROBE_BYTES = 4 * 1024 * 1024
const REPEATS = { small: 2, last: 3 }
/** Transfers that were disturbed are repeated until the bandwidth is known to this share, at most so often and so long. */
const DISTURBED = { share: 0.03, repeats: 5, forMs: 1500 }
/** Number of transfers that must show the bandwidth by the arrival of their pieces. */
const MIN_RATE_COUNT = 3

export interface LinkMeasurement {
  figures: LinkFigures
  probes: number
  samples: Link['samples']
  own: OwnCost
  /** True if a machine at one end was stopped by its quota of CPU time in nearly all probes: the figures may show its stops. */
  stopped: boolean
  /** True if an answer did not say who sent it. */
  untold?: boolean
}

/**
 * Measures the link to a peer.
 * @param largestBytes size of the largest tensor that may cross the link; payloads grow up to it on a fast link.
 * @throws ScissionError peerUnavailable, which names the peer: also if another machine answers.
 */
export async function measureLink(
  peer: Pick<Peer, 'url' | 'resource' | 'shown'>,
  largestBytes = DEFAULT_PROBE_BYTES,
): Promise<LinkMeasurement> {
  const stops = new StopClock()
  try {
    return await measureWith(stops, peer, largestBytes)
  } finally {
    stops.close()
  }
}

/** @param stops of this process meanwhile. */
export async function measureWith(
  stops: Stops,
  peer: Pick<Peer, 'url' | 'resource' | 'shown'>,
  largestBytes: number,
): Promise<LinkMeasurement> {
  const url = probeUrl(peer)
  const limit = Math.min(MAX_PROBE_BYTES, Math.max(4 * FIRST_BYTES, largestBytes))
  let untold = false
  const onAnswer: OnAnswer = (timing) => {
    if (!checkAnsweredBy(peer.resource, timing)) untold = true
  }
  const prober = new Prober(url, stops, onAnswer, peer.shown)
  const pinger = new Pinger(new URL(url), PROBE_TIMEOUT_MS, onAnswer, peer.shown)
  const pings: Ping[] = []
  try {
    // At the same time: each sets up a connection and wakes processes that slept.
    const [own] = await Promise.all([measureOwnCost(), prober.up(1), pinger.ping()])
    await roundTrips(pinger, pings, stops)
    const shortestMs = Math.min(...pings.map(({ ms }) => ms))
    const sent = await transfers(prober.up, { limit, shortestMs, shownBy: thereOf })
    await roundTrips(pinger, pings, stops)
    const received = await transfers(prober.down, { limit, shortestMs, shownBy: hereOf })
    await roundTrips(pinger, pings, stops)
    return { ...fit(pings, sent, received, own), untold }
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
    prober.close()
    pinger.close()
  }
}

/** The bandwidth in one direction by the arrival of the pieces; undefined if it is too high for that. */
type Shown = (times: readonly ProbeTimes[]) => Estimate | undefined
const thereOf: Shown = (times) =>
  shownBandwidth(
    times.flatMap(({ stopped, up }) => (stopped || !up ? [] : [up])),
    MIN_RATE_COUNT,
  )
const hereOf: Shown = (times) =>
  shownBandwidth(
    times.flatMap(({ stopped, down }) => (stopped ? [] : [down])),
    MIN_RATE_COUNT,
  )

interface Transfers {
  /** Bytes of the largest payload. */
  limit: number
  /** ms of the shortest ping: that part of a transfer shows nothing of the bandwidth. */
  shortestMs: number
  shownBy: Shown
}

interface Sent {
  times: ProbeTimes[]
  /** True if fewer than two sizes were sent without a stop: a slope needs two points. */
  stopped: boolean
}

async function transfers(send: Send, { limit, shortestMs, shownBy }: Transfers): Promise<Sent> {
  const all: ProbeTimes[] = []
  let bytes = FIRST_BYTES
  for (;;) {
    const times: ProbeTimes[] = []
    for (let run = 0; run < REPEATS.small; run += 1) times.push(await send(bytes))
    const fastest = Math.max(1, Math.min(...unstopped(times).map((probe) => probe.totalMs)) - shortestMs)
    const isLong = fastest >= MIN_TRANSFER_MS
    // What the machine cannot send without a stop is large enough.
    const isEnough = isLong || times.every(({ stopped }) => stopped)
    const last = (bytes > FIRST_BYTES && isEnough) || bytes >= limit
    if (last) for (let run = REPEATS.small; run < REPEATS.last; run += 1) times.push(await send(bytes))
    all.push(...unstopped(times))
    if (last) return resultOf(await repeated(all, () => send(bytes), { isLong, shownBy }))
    const growth = Math.min(GROWTH, Math.max(2, TARGET_TRANSFER_MS / fastest))
    bytes = Math.min(limit, Math.round(bytes * growth))
  }
}

/** Those that were not stopped, if there are any. */
function unstopped(times: readonly ProbeTimes[]): readonly ProbeTimes[] {
  const whole = times.filter(({ stopped }) => !stopped)
  return whole.length > 0 ? whole : times
}

function resultOf(all: readonly ProbeTimes[]): Sent {
  const whole = all.filter(({ stopped }) => !stopped)
  const stopped = new Set(whole.map(({ size }) => size)).size < 2
  return { times: [...(stopped ? all : whole)], stopped }
}

/**
 * With further transfers while the bandwidth is uncertain: on a busy machine some are disturbed and some are not.
 * @param isLong true if the transfers are long enough that pieces show the bandwidth, unless all were read at once.
 */
async function repeated(
  all: readonly ProbeTimes[],
  again: () => Promise<ProbeTimes>,
  { isLong, shownBy }: { isLong: boolean; shownBy: Shown },
): Promise<readonly ProbeTimes[]> {
  const times = [...all]
  const until = performance.now() + DISTURBED.forMs
  for (let run = 0; run < DISTURBED.repeats && performance.now() < until; run += 1) {
    const shown = shownBy(times)
    if (shown ? shown.halfWidth <= DISTURBED.share * shown.value : !isLong) break
    times.push(await again())
  }
  return times
}

/**
 * Estimates the bandwidths first: from the arrival of the pieces of each transfer, or on fast links from the slope of time
 * over size; a fixed cost changes neither. Subtracting the transfer time of the pings' bytes from their times leaves the
 * round trip. The remaining cost of a message is the median remainder of the transfers.
 */
function fit(pings: Ping[], there: Sent, back: Sent, own: OwnCost): LinkMeasurement {
  const [sent, received] = [there.times, back.times]
  const up = sent.map((probe): TransferSample => ({ bytes: probe.sentBytes, ms: probe.totalMs }))
  const down = received.map((probe): TransferSample => ({ bytes: probe.receivedBytes, ms: probe.totalMs }))
  const lateMs = latenessOf(pings.map(({ ms }) => ms))
  const bandwidthMbps = there.stopped ? unsure(bandwidth(up)) : (thereOf(sent) ?? bandwidth(up, lateMs))
  const returnBandwidthMbps = back.stopped
    ? unsure(bandwidth(down))
    : (hereOf(received) ?? bandwidth(down, lateMs))
  const without = (ms: number, { sentBytes, receivedBytes }: Omit<Ping, 'ms'>) =>
    ms - transferMs(sentBytes, bandwidthMbps.value) - transferMs(receivedBytes, returnBandwidthMbps.value)
  const trips = roundTrip(pings.map((ping) => without(ping.ms, ping) - own.pingMs))
  // A ping over a link wakes processes that slept for a round trip, as a message on this machine does and a ping does not.
  const rttMs = positive(withDoubt(trips, own.message.ms))
  // The shortest transfers, in which the error of the bandwidth has the least weight.
  const short = [...sent, ...received].sort((a, b) => a.totalMs - b.totalMs).slice(0, 2 * REPEATS.small)
  const beyond = typical(short.map((probe) => without(probe.totalMs, probe) - rttMs.value))
  const perMessageMs = { value: Math.max(0, beyond.value), halfWidth: beyond.halfWidth }
  const off = [...sent, ...received].map(
    (probe) => without(probe.totalMs, probe) - rttMs.value - beyond.value,
  )
  return {
    figures: { rttMs, bandwidthMbps, returnBandwidthMbps, perMessageMs, jitterMs: jitter(off) },
    own,
    stopped: there.stopped || back.stopped,
    probes: pings.length + sent.length + received.length,
    samples: [
      ...up.map((sample) => ({ ...sample, direction: 'up' as const })),
      ...down.map((sample) => ({ ...sample, direction: 'down' as const })),
    ],
  }
}
