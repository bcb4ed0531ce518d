/** Series of pings: beside probes, and between messages. */
import { median } from '../../../shared/platform/statistics.ts'
import type { Peer } from '../registration/peers.ts'
import { type Ping, Pinger } from './pinger.ts'

/** Limit for each answer. */
export const PROBE_TIMEOUT_MS = 20_000

/**
 * Pings per series. There is a series before, between and after the transfers, so that a machine that is busy for a second
 * does not look like a long link. A disturbed series goes on for twice as long.
 */
const PINGS = { min: 2, max: 12, forMs: 250 }
/** Pings of a series between messages, and at most if they are disturbed: half of them later than the shortest by this. */
const SERIES = { usual: 5, most: 15, lateShare: 0.1, lateMs: 0.3 }

export const probeUrl = ({ url }: Pick<Peer, 'url'>) => `${url.replace(/\/$/, '')}/v1/link-probe`

/** A series beside probes. @param into what was measured is added to it. */
export async function roundTrips(pinger: Pinger, into: Ping[]): Promise<void> {
  const { min, max, forMs } = PINGS
  const from = performance.now()
  const pings: Ping[] = []
  while (pings.length < max) {
    const limitMs = isDisturbed(pings) ? 2 * forMs : forMs
    if (pings.length >= min && performance.now() - from > limitMs) break
    pings.push(await pinger.ping())
  }
  into.push(...pings)
}

/**
 * Pings between messages: few, because they share the link with them.
 * @throws Error if the peer does not answer.
 */
export async function pingSeries(peer: Pick<Peer, 'url'>): Promise<Ping[]> {
  const pinger = new Pinger(new URL(probeUrl(peer)), PROBE_TIMEOUT_MS)
  try {
    // The first also sets up the connection.
    await pinger.ping()
    const pings: Ping[] = []
    while (pings.length < SERIES.usual || (pings.length < SERIES.most && isDisturbed(pings)))
      pings.push(await pinger.ping())
    return pings
  } finally {
    pinger.close()
  }
}

function isDisturbed(pings: readonly Ping[]): boolean {
  const times = pings.map(({ ms }) => ms)
  const least = Math.min(...times)
  return median(times) > least + Math.max(SERIES.lateMs, SERIES.lateShare * least)
}
