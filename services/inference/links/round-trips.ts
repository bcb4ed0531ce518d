/** The round trip of a link by pings that were sent while messages passed. Pure. */
import { type Estimate, positive, roundTrip, withDoubt } from './estimate-link.ts'
import type { OwnCost } from './own-cost.ts'
import type { Ping } from './pinger.ts'
import type { Part } from './sums.ts'

/** `at`: time of its series, ms of a monotonic clock. */
export type TimedPing = Ping & { at: number }

/** Half-width in ms of a round trip of which nothing is known. */
const ANY_MS = 1e5

const lowOf = ({ value, halfWidth }: Estimate) => value - halfWidth
const highOf = ({ value, halfWidth }: Estimate) => value + halfWidth

/**
 * The round trip that is known without the messages. Earlier pings count as long as the latest do not contradict them. All
 * pings of one series may be late on a busy machine, but none is early: a longer round trip is believed after two series.
 * @param rates ms per byte. @param before what was known. @param since older pings may be of the link as it was before.
 * @returns `unsure`: true if only one series says that the round trip is longer.
 */
export function fixedOf(
  pings: readonly TimedPing[],
  rates: { there: Estimate; back: Estimate },
  before: Estimate | undefined,
  own: OwnCost,
  since: number,
): Part & { unsure: boolean } {
  const last = pings.at(-1)
  if (!last) return { ...(before ?? { value: 0, halfWidth: ANY_MS }), old: true, unsure: false }
  const old = last.at < since
  const times = [...new Set(pings.map(({ at }) => at))]
  const latest = (count: number) =>
    tripOf(
      pings.filter(({ at }) => times.slice(-count).includes(at)),
      rates,
      own,
    )
  const now = latest(1)
  const known = times.length === 1 ? (before ?? now) : latest(times.length)
  if (lowOf(now) <= highOf(known)) return { ...(times.length === 1 ? now : known), old, unsure: false }
  const lastTwo = latest(2)
  const earlier = pings.filter(({ at }) => !times.slice(-2).includes(at))
  const isLonger = earlier.length > 0 && lowOf(lastTwo) > highOf(tripOf(earlier, rates, own))
  if (isLonger) return { ...lastTwo, old, unsure: false }
  return { value: known.value, halfWidth: highOf(now) - known.value, old: true, unsure: true }
}

function tripOf(
  pings: readonly TimedPing[],
  { there, back }: { there: Estimate; back: Estimate },
  own: OwnCost,
): Estimate {
  const times = pings.map(
    (ping) => ping.ms - own.pingMs - ping.sentBytes * there.value - ping.receivedBytes * back.value,
  )
  return positive(withDoubt(roundTrip(times), own.message.ms))
}
