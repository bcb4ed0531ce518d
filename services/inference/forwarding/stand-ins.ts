/**
 * Notices when the hop behind this resource is computed by a stand-in request after request, and puts that on record: the
 * deployment answers, but not as it was planned, and its planner says so. Once the plan's resource computes again, the
 * record is removed. All of it happens beside the requests; without Redis it is told as soon as that is back.
 */
import { LRUCache } from 'lru-cache'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { StandIn } from '../../../shared/contracts/stand-in.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { standInId, type State } from '../../../shared/platform/redis/state.ts'
import type { StandInConditions } from './stand-in-conditions.ts'
import type { Inference } from '../serving/models/target.ts'

/** So many requests in a row: fewer are a lost connection or a machine that is started anew. */
const IN_A_ROW = 5
/** Requests that are counted. */
const MAX_RECENT = 100
/** Deployments come and go, their hops here are few. */
const MAX_HOPS = 1000
/** ms between two reports of the same. */
const REPORT_MS = 10_000

export interface StandInsDeps {
  resource: string
  state: State
  log: Logger
  /** Is told of each answer: the condition of it. */
  told?: Pick<StandInConditions, 'stoodIn' | 'asPlanned'>
  /** False while another service has the name of this resource: then nothing is put on record. Absent = always. */
  isOwner?: () => boolean
  now?: () => number
}

/** One hop of one deployment. */
interface Watch {
  createdAt: string
  /** Of the recent requests, whether a stand-in computed them. */
  recent: boolean[]
  inARow: number
  since: number
  reason: string
  /** It was logged, and is or will be on record. */
  degraded: boolean
  reportedAt: number
  /** Its record, as it is or will be written; undefined if there is none. */
  record: StandIn | undefined
  writing: boolean
}

export class StandIns {
  readonly #deps: StandInsDeps
  readonly #watches = new LRUCache<string, Watch>({ max: MAX_HOPS })
  /** Deployment → requests that a stand-in computed. */
  readonly #counts = new LRUCache<string, number>({ max: MAX_HOPS })

  constructor(deps: StandInsDeps) {
    this.#deps = deps
  }

  /**
   * Requests that stand-ins computed so far, and whether all of the last ones were.
   * @param held ids of the deployments that are asked about.
   */
  stats(held: readonly string[]): { deployment: string; count: number; degraded: boolean }[] {
    const watches = [...this.#watches.entries()]
    return held.map((deployment) => ({
      deployment,
      count: this.#counts.get(deployment) ?? 0,
      degraded: watches.some(([id, watch]) => watch.degraded && id.startsWith(`${deployment} `)),
    }))
  }

  /** @param hop that answered, `inference.hops[0]` being its report. */
  answered(deployment: Deployment, hop: number, { hops, standInReason }: Inference): void {
    if (deployment.verifies !== undefined) return
    const id = standInId(deployment.id, hop)
    const watch = this.#watchOf(id, deployment)
    const [first] = hops
    const by = first?.insteadOf === undefined ? undefined : first.resource
    watch.recent.push(by !== undefined)
    if (watch.recent.length > MAX_RECENT) watch.recent.shift()
    if (by === undefined) {
      this.#deps.told?.asPlanned(deployment, hop)
      this.#served(id, watch, deployment)
    } else {
      this.#deps.told?.stoodIn(deployment, hop, by, standInReason ?? 'it failed')
      watch.inARow += 1
      if (watch.inARow === 1) watch.since = this.#now()
      watch.reason = standInReason ?? watch.reason
      this.#counts.set(deployment.id, (this.#counts.get(deployment.id) ?? 0) + 1)
      if (watch.inARow >= IN_A_ROW) this.#stoodIn(id, watch, deployment, hop, by)
    }
  }

  #now(): number {
    const { now, state } = this.#deps
    if (now) return now()
    try {
      return state.clock.now()
    } catch {
      return 0 // Redis was never reached: nothing is on record yet.
    }
  }

  #watchOf(id: string, { createdAt }: Deployment): Watch {
    const known = this.#watches.get(id)
    if (known?.createdAt === createdAt) return known
    const watch: Watch = {
      createdAt,
      recent: [],
      inARow: 0,
      since: 0,
      reason: 'not known',
      degraded: false,
      reportedAt: -Infinity,
      record: undefined,
      writing: false,
    }
    this.#watches.set(id, watch)
    return watch
  }

  #served(id: string, watch: Watch, { id: deployment }: Deployment): void {
    watch.inARow = 0
    if (watch.degraded) this.#deps.log.info(`deployment ${deployment} is served as planned again`)
    watch.degraded = false
    if (watch.record) this.#write(id, watch, undefined)
  }

  #stoodIn(id: string, watch: Watch, deployment: Deployment, hop: number, by: string): void {
    const resource = deployment.hops[hop]?.resource ?? 'the resource'
    if (!watch.degraded)
      this.#deps.log.warn(
        { deployment: deployment.id, hop, resource, by, reason: watch.reason },
        `deployment ${deployment.id} is degraded: ${by} computes for ${resource} at every request: ${watch.reason}`,
      )
    watch.degraded = true
    const now = this.#now()
    if (watch.record && now - watch.reportedAt < REPORT_MS) return
    watch.reportedAt = now
    this.#write(id, watch, {
      deployment: deployment.id,
      createdAt: deployment.createdAt,
      hop,
      resource,
      by,
      reportedBy: this.#deps.resource,
      reason: watch.reason,
      since: new Date(watch.since).toISOString(),
      requests: { standIn: watch.recent.filter(Boolean).length, of: watch.recent.length },
      at: new Date(now).toISOString(),
    })
  }

  /** One write at a time. If it fails, or the state has changed meanwhile, the next request writes again. */
  #write(id: string, watch: Watch, record: StandIn | undefined): void {
    if (watch.writing || this.#deps.isOwner?.() === false) return
    watch.writing = true
    const { standIns } = this.#deps.state
    const written = record ? standIns.put(id, record) : standIns.delete(id)
    written
      .then(() => (watch.record = record))
      .catch((thrown: unknown) =>
        this.#deps.log.debug({ err: coerceError(thrown) }, `the state of ${id} is told once Redis is back`),
      )
      .finally(() => {
        watch.writing = false
        // The plan's resource computed again while that was written.
        if (watch.record && !watch.degraded) this.#write(id, watch, undefined)
      })
  }
}
