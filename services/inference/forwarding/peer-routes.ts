/** What a deployment has learnt about the peers of its hops: how long they take, and whether they fail at it. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Peer } from '../registration/peers.ts'
import { AnswerTimes, type ExpectedTime } from './answer-times.ts'
import { Breaker, startOf } from './breaker.ts'

/** A hop of a deployment on one peer. */
export interface Route {
  /** Id of the deployment. */
  deployment: string
  times: AnswerTimes
  /** Opens if the peer answers, but fails at this deployment. */
  breaker: Breaker
}

export class Routes {
  readonly #record: Deployment
  readonly #known = new Map<string, Route & { start: string }>()

  constructor(record: Deployment) {
    this.#record = record
  }

  /** @param hop position of the hop that runs on the peer; undefined for the entry to which an answer is delivered. */
  of(hop: number | undefined, peer: Peer): Route {
    const key = `${hop ?? 'answer'} ${peer.resource.name}`
    const start = startOf(peer)
    const known = this.#known.get(key)
    if (known?.start === start) return known
    const behind = hop === undefined ? 1 : this.#record.hops.length - hop
    const times = new AnswerTimes(expectedOf(this.#record, hop), behind)
    const fresh = { deployment: this.#record.id, start, times, breaker: new Breaker() }
    this.#known.set(key, fresh)
    return fresh
  }
}

/**
 * What the plan expects from sending a hop's input to the answer. A record that was imported or made by an earlier version has
 * no such figure: it gets a generous start, which the first answer ends.
 */
function expectedOf({ hops, predictedMs }: Deployment, hop: number | undefined): ExpectedTime {
  const expected = hop === undefined ? undefined : hops[hop]?.expected
  return expected ?? { highMs: Math.max(UNPLANNED_MS, UNPLANNED_FACTOR * predictedMs), bytes: 0 }
}

const UNPLANNED_MS = 1250
/** The rest of a plan takes no longer than the whole, but the interval of that is not known. */
const UNPLANNED_FACTOR = 2
