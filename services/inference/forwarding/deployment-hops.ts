/**
 * This resource's part of live plans. A deployment is prepared when the planner says so, or at its first request after
 * a restart, from the record in Redis. A request enters at hop 0; every hop runs its own layer range, sends the
 * boundary's tensors on, and passes the answer back.
 *
 * A deployment that is prepared again with another plan switches without losing a request: hops name the plan they run,
 * and the old plan's stages stay until RETIRE_MS after the switch. If several plans are prepared at once, or one is
 * released meanwhile, the last word wins and every stage is freed (shared/platform/latest-wins.ts).
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { LatestWins } from '../../../shared/platform/latest-wins.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { LastKnown } from '../../../shared/platform/redis/stale-while-revalidate-cache.ts'
import { type HeldStage, holdStage, type StageParts } from '../serving/models/stages.ts'
import type { RangeKey } from '../ranges/range-store.ts'
import { Rest, RestRoom } from './local-fallback.ts'

/** Longer than a request is under way. */
const RETIRE_MS = 30_000

/** One plan of a deployment, its hops on this resource loaded or being loaded. */
export interface LiveDeployment {
  record: Deployment
  /** By position in `record.hops`; only this resource's. */
  stages: Map<number, HeldStage>
  /** By position of the hop that they stand in for: the rest of the model from there on. */
  rests: Map<number, Rest>
}

export interface DeploymentParts {
  /** Name of this resource. */
  resource: string
  stageParts: StageParts
  state: State
  /** Of the layers of a range. */
  weightBytes: (range: RangeKey) => Promise<number>
  /** Most weights of all fallbacks together. */
  fallbackBytes: number
  /** Makes ready what packs and unpacks tensors, before a deployment that needs it is. */
  warmCodecs: () => Promise<void>
}

export class Deployments {
  readonly #parts: DeploymentParts
  readonly #records: LastKnown<Deployment | undefined>
  /** Deployment id → its plans. */
  readonly #plans: LatestWins<LiveDeployment, Deployment>
  /** Plans that were replaced, until no request can ask for them. A plan may be among them more than once. */
  readonly #retiring = new Set<{ live: LiveDeployment; timer: NodeJS.Timeout }>()
  readonly #room = new RestRoom()
  /** Goes up with every change and every release that could make a record which was just read an old one. */
  #revision = 0

  constructor(parts: DeploymentParts) {
    this.#parts = parts
    this.#records = new LastKnown('deployments', (id) => parts.state.deployments.get(id))
    this.#plans = new LatestWins({ free, retire: (_id, _planId, live) => this.#retire(live) })
  }

  /**
   * Loads this resource's hops. The same again changes nothing. @throws why it cannot, what ran before goes on; conflict
   * if another plan took its place, or it was released, meanwhile.
   */
  async prepare(record: Deployment): Promise<void> {
    await this.#plans.set(record.id, record.planId, record, async (signal) => {
      const live = await this.#acquire(record, signal)
      for (const rest of live.rests.values()) rest.prepare()
      return live
    })
  }

  /** @returns undefined when there is no such deployment. */
  async record(id: string): Promise<Deployment | undefined> {
    return this.#plans.latest(id)?.about ?? (await this.#records.get(id))
  }

  /** @param planId of the hop before; undefined = the current one. @throws ScissionError notFound or why it cannot load. */
  async live(id: string, planId: string | undefined): Promise<LiveDeployment> {
    try {
      return await this.#find(id, planId)
    } catch (error) {
      const current = this.#plans.latest(id)
      // Another plan was loaded before the one that this request waited for.
      if (planId === undefined && current?.state === 'ready') return current.value
      throw error
    }
  }

  async #find(id: string, planId: string | undefined): Promise<LiveDeployment> {
    const known = planId === undefined ? this.#plans.latest(id)?.value : this.#plans.find(id, planId)
    if (known) return known
    for (const { live } of this.#retiring)
      if (live.record.id === id && live.record.planId === planId) return live
    const revision = this.#revision
    const record = await this.#records.get(id)
    // It was changed or released while it was being read: loading it now could hold a deployment that is gone.
    if (revision !== this.#revision) return this.#find(id, planId)
    if (!record || (planId !== undefined && record.planId !== planId))
      throw new ScissionError('notFound', `deployment "${id}" with plan ${planId ?? 'any'} is not on record`)
    await this.prepare(record)
    return this.#find(id, planId)
  }

  stateOf(id: string): 'loading' | 'ready' | undefined {
    return this.#plans.latest(id)?.state
  }

  /** Those loaded or being loaded here. */
  held(): Deployment[] {
    return this.#plans.keys().flatMap((id) => this.#plans.latest(id)?.about ?? [])
  }

  /**
   * Unknown ids are fine: the planner releases what may never have been prepared.
   * @param createdAt only of the deployment that was made then; without it whatever has that id.
   */
  async release(id: string, createdAt?: string): Promise<void> {
    this.#revision += 1
    await this.#plans.release(id, (record) => createdAt === undefined || record.createdAt === createdAt)
  }

  async close(): Promise<void> {
    for (const { live, timer } of this.#retiring) {
      clearTimeout(timer)
      free(live)
    }
    this.#retiring.clear()
    await Promise.all(this.#plans.keys().map((id) => this.release(id)))
  }

  /** A deployment deleted while this resource could not be told is let go here. */
  onChange(change: Change): void {
    this.#records.onChange(change)
    const { kind, id } = change
    if (kind !== 'deployments') return
    this.#revision += 1
    const before = this.#plans.order(id)
    if (before === 0) return
    this.#parts.state.deployments
      .get(id)
      .then((record) => {
        // One that was prepared since is another deployment of this name.
        if (!record && this.#plans.order(id) === before) return this.release(id)
        return undefined
      })
      .catch((error: unknown) =>
        this.#parts.stageParts.log.warn(
          { err: coerceError(error) },
          `could not read deployment ${id} from Redis`,
        ),
      )
  }

  onResync(): void {
    this.#records.onResync()
  }

  async #acquire(record: Deployment, signal: AbortSignal): Promise<LiveDeployment> {
    const { model, shapesKey } = record
    const { resource } = this.#parts
    const mine = record.hops.flatMap((hop, index) =>
      hop.resource === resource || hop.alternates?.includes(resource)
        ? [{ index, key: { model, shapesKey, from: hop.from, to: hop.to } }]
        : [],
    )
    if (mine.length === 0) {
      throw new ScissionError(
        'badRequest',
        `deployment ${record.id} has no hop on ${this.#parts.resource}; ` +
          `its path is ${record.hops.map((hop) => hop.resource).join(', ')}`,
      )
    }
    if (record.hops.some(({ codec = 'none' }) => codec !== 'none')) await this.#parts.warmCodecs()
    const outcomes = await Promise.allSettled(
      mine.map(({ key }) => holdStage(this.#parts.stageParts, key, signal)),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed) {
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') outcome.value.release()
      throw failed.reason
    }
    const stages = new Map<number, HeldStage>()
    outcomes.forEach((outcome, index) => {
      const hop = mine[index]
      if (outcome.status === 'fulfilled' && hop) stages.set(hop.index, outcome.value)
    })
    return { record, stages, rests: this.#rests(record, [...stages.keys()]) }
  }

  /** For each hop that follows one of ours. */
  #rests({ hops, model, shapesKey, fallback }: Deployment, ours: readonly number[]): Map<number, Rest> {
    const { stageParts, weightBytes, fallbackBytes } = this.#parts
    const rests = new Map<number, Rest>()
    const to = hops.at(-1)?.to ?? 0
    for (const next of ours.map((index) => index + 1)) {
      const from = hops[next]?.from
      if (fallback === 'none' || from === undefined) continue
      const parts = { stageParts, weightBytes, limitBytes: fallbackBytes }
      rests.set(next, new Rest(parts, this.#room, { model, shapesKey, from, to }))
    }
    return rests
  }

  #retire(live: LiveDeployment): void {
    const timer = setTimeout(() => {
      this.#retiring.delete(retiring)
      free(live)
    }, RETIRE_MS)
    timer.unref()
    const retiring = { live, timer }
    this.#retiring.add(retiring)
  }
}

function free({ stages, rests }: LiveDeployment): void {
  for (const held of [...stages.values(), ...rests.values()]) held.release()
}
