/**
 * Measures one link by using it: tiny requests for the round trip, then payloads in each direction, growing until one
 * takes long enough to see the bandwidth. On a 3G link that is about 1.5 s each way.
 */
import { randomFillSync } from 'node:crypto'
import { ScissionError } from '../../../shared/errors.ts'
import type { Link } from '../../../shared/contracts/resource.ts'
import type { Caller } from '../http/call.ts'
import type { Peer } from '../peers.ts'
import { bandwidthMbps, roundTripMs, type TransferSample } from './estimate.ts'

const WARM_UPS = 2
/** Before, between and after the transfers: a machine that is busy for a second must not count as a long link. */
const ROUND_TRIPS = 7
const FIRST_BYTES = 16 * 1024
const GROWTH = 4
/** A transfer of this length shows the bandwidth well; */
const ENOUGH_MS = 250
/** and one much longer than that only takes time: the next size is chosen not to. */
const AIM_MS = 450
export const LARGEST_PROBE_BYTES = 4 * 1024 * 1024
const REPEATS = 3
const TIMEOUT_MS = 20_000

/** Incompressible, in case something on the way compresses. */
const noise = randomFillSync(new Uint8Array(FIRST_BYTES))

/** @throws ScissionError peerUnavailable naming the peer. */
export async function measureLink(caller: Caller, from: string, peer: Peer): Promise<Link> {
  const url = `${peer.url.replace(/\/$/, '')}/v1/link-probe`
  const down = (bytes: number) =>
    timed(caller, peer, { method: 'GET', url: `${url}?bytes=${bytes}`, body: [] })
  const up = (bytes: number) => timed(caller, peer, { method: 'POST', url, body: payload(bytes) })
  for (let run = 0; run < WARM_UPS; run += 1) await down(1)
  const roundTrips: number[] = []
  const measureRoundTrips = async () => {
    for (let run = 0; run < ROUND_TRIPS; run += 1) roundTrips.push(await down(1))
  }
  await measureRoundTrips()
  const sentUp = await transfers(up)
  await measureRoundTrips()
  const sentDown = await transfers(down)
  await measureRoundTrips()
  return {
    from,
    to: peer.resource.name,
    rttMs: roundTripMs(roundTrips),
    bandwidthMbps: bandwidthMbps(sentUp),
    returnBandwidthMbps: bandwidthMbps(sentDown),
    source: 'measured',
    emulated: peer.emulation !== undefined,
    ...(peer.emulation && { emulation: peer.emulation }),
    samples: [
      ...sentUp.map((sample) => ({ ...sample, direction: 'up' as const })),
      ...sentDown.map((sample) => ({ ...sample, direction: 'down' as const })),
    ],
    measuredAt: new Date().toISOString(),
  }
}

async function transfers(send: (bytes: number) => Promise<number>): Promise<TransferSample[]> {
  const samples: TransferSample[] = []
  let bytes = FIRST_BYTES
  for (;;) {
    const times: number[] = []
    for (let run = 0; run < REPEATS; run += 1) times.push(await send(bytes))
    for (const ms of times) samples.push({ bytes, ms })
    const fastest = Math.min(...times)
    // Two sizes at least: one point has no slope.
    const enough = bytes > FIRST_BYTES && fastest >= ENOUGH_MS
    if (enough || bytes >= LARGEST_PROBE_BYTES) return samples
    const growth = Math.min(GROWTH, Math.max(2, AIM_MS / fastest))
    bytes = Math.min(LARGEST_PROBE_BYTES, Math.round(bytes * growth))
  }
}

function payload(bytes: number): Uint8Array[] {
  const whole = Array.from({ length: Math.floor(bytes / noise.length) }, () => noise)
  return [...whole, noise.subarray(0, bytes % noise.length)]
}

interface Probe {
  method: 'GET' | 'POST'
  url: string
  body: Uint8Array[]
}

async function timed(caller: Caller, peer: Peer, probe: Probe): Promise<number> {
  const started = performance.now()
  try {
    const headers = { 'Content-Type': 'application/octet-stream' }
    const limits = { timeoutMs: TIMEOUT_MS, maxBytes: 2 * LARGEST_PROBE_BYTES }
    const answer = await caller.send({ ...probe, headers, ...limits })
    if (answer.status === 200) return performance.now() - started
    throw new Error(`it answered ${answer.status}`)
  } catch (error) {
    const resource = peer.resource.name
    const message = error instanceof Error && error.message ? error.message : 'no answer'
    throw new ScissionError(
      'peerUnavailable',
      `the link to ${resource} (${peer.url}) cannot be measured: ${message}`,
      { resource },
      error,
    )
  }
}
