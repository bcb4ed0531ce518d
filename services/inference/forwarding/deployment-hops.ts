/**
 * This resource's hops of live plans. A deployment is prepared when the planner asks for it, or from the record in Redis at
 * its first request after a restart. A request enters at hop 0; every hop runs its layer range, sends the boundary's tensors
 * to the next hop, and passes the answer back.
 *
 * Preparing a deployment again with another plan switches without losing a request: hops name the plan that they run, and
 * the stages of the old plan stay loaded for RETIRE_MS after the switch. If several plans are prepared at the same time, or
 * one is released meanwhile, the last word wins and every stage is freed (LatestWins).
 */
import type { Change } from '../../../shared/platform/redis/changes.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { LatestWins } from '../../../shared/platform/latest-wins.ts'
import { StaleWhileRevalidateCache } from '../../../shared/platform/redis/stale-while-revalidate-cache.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { keyText, type RangeKey } from '../ranges/stored-range.ts'
import { type HeldStage, holdStage, type StageDeps } from '../serving/models/stages.ts'
import { LocalFallback } from './local-fallback.ts'
import type { OnRecord } from './on-record.ts'
import { Routes } from './peer-routes.ts'
import { WeightBudget } from './weight-budget.ts'

/** Longer than any request takes. */
const RETIRE_MS = 30_000

/** One plan of a deployment, whose hops on this resource are loaded. */
export interface LiveDeployment {
  /** The newest of those with this plan. */
  record: Deployment
  /** Position in `record.hops` → stage, only of this resource. */
  stages: Map<number, HeldStage>
  /** Position of the hop that a fallback replaces → the rest of the model from there on. */
  fallbacks: Map<number, LocalFallback>
  /** What is known of the peers of the hops that follow one of this resource's. */
  routes: Routes
}

export interface DeploymentDeps {
  /** Name of this resource. */
  resource: string
  stageDeps: StageDeps
  state: State
  /** Which deployments count. */
  onRecord: Pick<OnRecord, 'find' | 'confirmed' | 'refuseMisfit'>
  /** Bytes of the weights of a range. */
  weightBytes: (range: RangeKey) => Promise<number>
  /** Maximum bytes of the weights of all fallbacks together, and of all that is held for verifications only. */
  besideBytes: number
  /** Called when a deployment is released. */
  onRelease?: (id: string) => void
  /** Called before a deployment that uses codecs becomes ready. */
  warmCodecs: () => Promise<void>
}

export class Deployments {
  readonly #deps: DeploymentDeps
  readonly #records: StaleWhileRevalidateCache<Deployment | undefined>
  /** Deployment id → its plans. */
  readonly #plans: LatestWins<LiveDeployment, Deployment>
  /** Replaced plans, until no request can ask for them. A plan may be among them more than once. */
  readonly #retiring = new Set<{ live: LiveDeployment; timer: NodeJS.Timeout }>()
  readonly #fallbackBudget: WeightBudget
  readonly #verificationBudget: WeightBudget
  /** The latest record of what is held here, to write it back if Redis loses it. */
  readonly #lastRecords = new Map<string, Deployment>()
  /** Increases with every change and release after which a record that is being read may be outdated. */
  #revision = 0

  constructor(deps: DeploymentDeps) {
    this.#deps = deps
    this.#fallbackBudget = new WeightBudget(deps.besideBytes, 'all fallbacks')
    this.#verificationBudget = new WeightBudget(deps.besideBytes, 'all verifications')
    this.#records = new StaleWhileRevalidateCache(
      'deployments',
      (id) => deps.onRecord.find(id),
      deps.state.memory,
    )
    this.#plans = new LatestWins({ free, retire: (_id, _planId, live) => this.#retire(live) })
  }

  /**
   * Loads this resource's hops of a plan that is on record. Preparing the same plan again changes nothing but its record; if loading fails, the
   * previous plan stays.
   * @throws ScissionError with the reason; conflict if meanwhile another plan replaced this one, or it was released.
   */
  async prepare(record: Deployment): Promise<void> {
    const prepared = await this.#plans.set(record.id, record.planId, record, async (signal) => {
      const live = await this.#acquire(record, signal)
      for (const fallback of live.fallbacks.values()) fallback.prepare()
      return live
    })
    // Deployed again with the same plan: what is told of it is told of the newer record.
    if (prepared.record.createdAt < record.createdAt) prepared.record = record
  }

  /**
   * The same for a deployment that somebody tells of.
   * @throws ScissionError conflict if it is not on record as it was told; queueUnavailable if the registry cannot be asked.
   */
  async prepareTold(told: Deployment): Promise<void> {
    const isKnown = ({ id, planId, createdAt }: Deployment) => {
      const held = this.#plans.latest(id)
      return held?.about.planId === planId && held.about.createdAt === createdAt
    }
    await this.prepare(await this.#deps.onRecord.confirmed(told, isKnown))
  }

  /** @returns undefined if there is no such deployment. */
  async record(id: string): Promise<Deployment | undefined> {
    return this.#plans.latest(id)?.about ?? (await this.#records.get(id))
  }

  /**
   * @param planId the plan that the previous hop names; undefined means the current one.
   * @throws ScissionError notFound; otherwise as `prepare`.
   */
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

  /** Records of the deployments that are loaded or being loaded here, without those that verify others. */
  held(): Deployment[] {
    const records = this.#plans.keys().flatMap((id) => this.#plans.latest(id)?.about ?? [])
    return records.filter(({ verifies }) => verifies === undefined)
  }

  /** Writes the records of what is held here back to a Redis that has lost them. @returns how many were missing. */
  async restore(): Promise<number> {
    let count = 0
    for (const held of this.held()) {
      const last = this.#lastRecords.get(held.id)
      const record = last?.createdAt === held.createdAt && last.planId === held.planId ? last : held
      if (await this.#deps.state.deployments.restore(record.id, record, (now) => isBehind(now, record)))
        count += 1
    }
    return count
  }

  /**
   * Unknown ids are ignored: the planner also releases deployments that were never prepared here.
   * @param createdAt releases only the deployment that was created then; otherwise whatever has this id.
   */
  async release(id: string, createdAt?: string): Promise<void> {
    this.#revision += 1
    if (createdAt === undefined || this.#lastRecords.get(id)?.createdAt === createdAt)
      this.#lastRecords.delete(id)
    // Its announcement may come later than the next request, which must not bring it back.
    this.#records.onChange({ kind: 'deployments', id })
    await this.#plans.release(id, (record) => createdAt === undefined || record.createdAt === createdAt)
    if (this.#plans.order(id) === 0) this.#deps.onRelease?.(id)
  }

  async close(): Promise<void> {
    for (const { live, timer } of this.#retiring) {
      clearTimeout(timer)
      free(live)
    }
    this.#retiring.clear()
    await Promise.all(this.#plans.keys().map((id) => this.release(id)))
  }

  /** Releases a deployment that was deleted while this resource could not be reached. */
  onChange(change: Change): void {
    this.#records.onChange(change)
    const { kind, id } = change
    if (kind !== 'deployments') return
    this.#revision += 1
    const before = this.#plans.order(id)
    if (before === 0) return
    this.#deps.state.deployments
      .get(id)
      .then(async (record) => {
        if (record) this.#lastRecords.set(id, record)
        // A deployment of this name that was prepared since the read is another one and stays.
        else if (this.#plans.order(id) === before && !(await this.#deps.state.memory.isInDoubt(kind, id)))
          await this.release(id)
      })
      .catch((error: unknown) =>
        this.#deps.stageDeps.log.warn(
          { err: coerceError(error) },
          `could not read deployment ${id} from Redis`,
        ),
      )
  }

  onResync(): void {
    this.#records.onResync()
  }

  async #acquire(record: Deployment, signal: AbortSignal): Promise<LiveDeployment> {
    await this.#deps.onRecord.refuseMisfit(record)
    // It may have been released meanwhile: what hangs below would never hear of it.
    signal.throwIfAborted()
    const { model, shapesKey } = record
    const { resource } = this.#deps
    const mine = record.hops.flatMap((hop, index) =>
      hop.resource === resource || hop.alternates?.includes(resource)
        ? [{ index, key: { model, shapesKey, from: hop.from, to: hop.to } }]
        : [],
    )
    if (mine.length === 0) {
      throw new ScissionError(
        'misdirected',
        `this is ${this.#deps.resource}: deployment ${record.id} has no hop here; ` +
          `its path is ${record.hops.map((hop) => hop.resource).join(', ')}`,
      )
    }
    if (record.hops.some(({ codec = 'none' }) => codec !== 'none')) await this.#deps.warmCodecs()
    const outcomes = await Promise.allSettled(
      mine.map(async ({ index, key }) => {
        const hold =
          record.verifies === undefined
            ? holdStage(this.#deps.stageDeps, key, signal)
            : this.#holdToVerify(key, signal)
        return [index, await hold] as const
      }),
    )
    const held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed) {
      for (const [, stage] of held) stage.release()
      throw failed.reason
    }
    const stages = new Map(held)
    return {
      record,
      stages,
      fallbacks: this.#fallbacks(record, [...stages.keys()]),
      routes: new Routes(record),
    }
  }

  /**
   * Holds a stage for as long as a verification takes. Its runs are not those of clients, and are not counted as served.
   * @throws ScissionError notReady if it does not fit beside what is held here.
   */
  async #holdToVerify(key: RangeKey, signal: AbortSignal): Promise<HeldStage> {
    const stageDeps = { ...this.#deps.stageDeps, onRun: undefined }
    if (this.#isHeld(key)) return holdStage(stageDeps, key, signal)
    const giveBack = this.#verificationBudget.reserve(key, await this.#deps.weightBytes(key))
    try {
      const stage = await holdStage(stageDeps, key, signal)
      stage.onReleased(giveBack)
      return stage
    } catch (error) {
      giveBack()
      throw error
    }
  }

  /** True if a deployment holds this very stage: holding it once more takes no memory. */
  #isHeld(key: RangeKey): boolean {
    const { resource } = this.#deps
    return this.#plans.keys().some((id) => {
      const held = this.#plans.latest(id)
      if (held?.state !== 'ready') return false
      const { model, shapesKey, hops } = held.about
      const here = hops.filter((hop) => hop.resource === resource || hop.alternates?.includes(resource))
      return here.some(({ from, to }) => keyText({ model, shapesKey, from, to }) === keyText(key))
    })
  }

  /** A fallback for each hop that follows one of this resource's hops. */
  #fallbacks(
    { hops, model, shapesKey, fallback }: Deployment,
    ours: readonly number[],
  ): Map<number, LocalFallback> {
    const { stageDeps, weightBytes } = this.#deps
    const deps = { stageDeps, weightBytes, budget: this.#fallbackBudget }
    const fallbacks = new Map<number, LocalFallback>()
    const to = hops.at(-1)?.to ?? 0
    for (const next of ours.map((index) => index + 1)) {
      const from = hops[next]?.from
      if (fallback === 'none' || from === undefined) continue
      fallbacks.set(next, new LocalFallback(deps, { model, shapesKey, from, to }))
    }
    return fallbacks
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

/** True if the record is an older one of the name, or the same before it was loaded. */
const isBehind = (now: Deployment, { createdAt, planId, state }: Deployment): boolean =>
  now.createdAt < createdAt ||
  (now.createdAt === createdAt && now.planId === planId && now.state === 'loading' && state !== 'loading')

function free({ stages, fallbacks }: LiveDeployment): void {
  for (const held of [...stages.values(), ...fallbacks.values()]) held.release()
}
