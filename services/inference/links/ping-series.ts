/** Series of pings: beside probes, and between messages. */
import { median } from '../../../shared/platform/statistics.ts'
import type { Peer } from '../registration/peers.ts'
import { checkAnsweredBy } from './answered-by.ts'
import { type OnAnswer, type Ping, Pinger } from './pinger.ts'
import { StopClock, type Stops } from './stop-clock.ts'

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

/**
 * A series beside probes.
 * @param into what was measured is added to it. @param stops of this process.
 */
export async function roundTrips(pinger: Pinger, into: Ping[], stops: Stops): Promise<void> {
  const { min, max, forMs } = PINGS
  const from = performance.now()
  const series = new Series(pinger, stops)
  while (series.sent < max) {
    const limitMs = isDisturbed(series.pings) ? 2 * forMs : forMs
    if (series.sent >= min && performance.now() - from > limitMs) break
    await series.ping()
  }
  into.push(...series.pings)
}

/** Pings in which this process was not stopped; if there are none of these the others, without the time of the stops. */
class Series {
  readonly #pinger: Pinger
  readonly #stops: Stops
  readonly #whole: Ping[] = []
  readonly #stopped: Ping[] = []

  constructor(pinger: Pinger, stops: Stops) {
    this.#pinger = pinger
    this.#stops = stops
  }

  async ping(): Promise<void> {
    const { count, stoppedMs } = this.#stops
    const ping = await this.#pinger.ping()
    if (this.#stops.count === count) this.#whole.push(ping)
    else this.#stopped.push({ ...ping, ms: Math.max(0, ping.ms - (this.#stops.stoppedMs - stoppedMs)) })
  }

  get sent(): number {
    return this.#whole.length + this.#stopped.length
  }

  get pings(): readonly Ping[] {
    return this.#whole.length > 0 ? this.#whole : this.#stopped
  }
}

/**
 * Pings between messages: few, because they share the link with them.
 * @throws Error if the peer does not answer, or another machine does.
 */
export async function pingSeries(peer: Pick<Peer, 'url' | 'resource' | 'shown'>): Promise<readonly Ping[]> {
  const stops = new StopClock()
  const onAnswer: OnAnswer = (timing) => void checkAnsweredBy(peer.resource, timing)
  const pinger = new Pinger(new URL(probeUrl(peer)), PROBE_TIMEOUT_MS, onAnswer, peer.shown)
  try {
    // The first also sets up the connection.
    await pinger.ping()
    const series = new Series(pinger, stops)
    while (series.sent < SERIES.usual || (series.sent < SERIES.most && isDisturbed(series.pings)))
      await series.ping()
    return series.pings
  } finally {
    stops.close()
    pinger.close()
  }
}

function isDisturbed(pings: readonly Ping[]): boolean {
  const times = pings.map(({ ms }) => ms)
  const least = Math.min(...times)
  return median(times) > least + Math.max(SERIES.lateMs, SERIES.lateShare * least)
}
