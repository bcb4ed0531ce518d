/**
 * This resource's part of live plans. A deployment is prepared when the planner says so, or at its first request after
 * a restart, from the record in Redis. A request enters at hop 0; every hop runs its own layer range, sends the
 * boundary's tensors on, and passes the answer back.
 *
 * A deployment that is prepared again with another plan switches without losing a request: hops name the plan they run,
 * and the old plan's stages stay until RETIRE_MS after the switch.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Change, State } from '../../../shared/platform/redis/state.ts'
import { StaleWhileRevalidateCache } from '../../../shared/platform/redis/stale-while-revalidate-cache.ts'
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

interface Slot {
  record: Deployment
  live: Promise<LiveDeployment>
  state: 'loading' | 'ready'
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
  readonly #records: StaleWhileRevalidateCache<Deployment | undefined>
  readonly #current = new Map<string, Slot>()
  /** Earlier plans of a deployment, by `id planId`, until no request can ask for them. */
  readonly #room = new RestRoom()
  readonly #retiring = new Map<string, { slot: Slot; timer: NodeJS.Timeout }>()

  constructor(parts: DeploymentParts) {
    this.#parts = parts
    this.#records = new StaleWhileRevalidateCache('deployments', (id) => parts.state.deployments.get(id))
  }

  /** Loads this resource's hops. The same again changes nothing. @throws why it cannot; what ran before goes on. */
  async prepare(record: Deployment): Promise<void> {
    const before = this.#current.get(record.id)
    if (before?.record.planId === record.planId) {
      await before.live
      return
    }
    const slot = this.#load(record)
    if (!before) this.#current.set(record.id, slot)
    try {
      await slot.live
    } catch (error) {
      if (this.#current.get(record.id) === slot) this.#current.delete(record.id)
      throw error
    }
    if (before) {
      this.#current.set(record.id, slot)
      this.#retire(before)
    }
  }

  /** @returns undefined when there is no such deployment. */
  async record(id: string): Promise<Deployment | undefined> {
    return this.#current.get(id)?.record ?? (await this.#records.get(id))
  }

  /** @param planId of the hop before; undefined = the current one. @throws ScissionError notFound or why it cannot load. */
  async live(id: string, planId: string | undefined): Promise<LiveDeployment> {
    const current = this.#current.get(id)
    if (current && (planId === undefined || current.record.planId === planId)) return current.live
    const retiring = this.#retiring.get(`${id} ${planId}`)
    if (retiring) return retiring.slot.live
    const record = await this.#records.get(id)
    if (!record || (planId !== undefined && record.planId !== planId))
      throw new ScissionError('notFound', `deployment "${id}" with plan ${planId ?? 'any'} is not on record`)
    await this.prepare(record)
    return this.live(id, planId)
  }

  stateOf(id: string): 'loading' | 'ready' | undefined {
    return this.#current.get(id)?.state
  }

  /** Those loaded or being loaded here. */
  held(): Deployment[] {
    return [...this.#current.values()].map((slot) => slot.record)
  }

  /** Unknown ids are fine: the planner releases what may never have been prepared. */
  async release(id: string): Promise<void> {
    const slot = this.#current.get(id)
    this.#current.delete(id)
    if (slot) await letGo(slot)
  }

  async close(): Promise<void> {
    for (const { slot, timer } of this.#retiring.values()) {
      clearTimeout(timer)
      await letGo(slot)
    }
    await Promise.all([...this.#current.keys()].map((id) => this.release(id)))
  }

  /** A deployment deleted while this resource could not be told is let go here. */
  onChange(change: Change): void {
    this.#records.onChange(change)
    if (change.kind !== 'deployments' || !this.#current.has(change.id)) return
    this.#parts.state.deployments
      .get(change.id)
      .then((record) => (record ? undefined : this.release(change.id)))
      .catch((error: unknown) =>
        this.#parts.stageParts.log.warn(
          { err: coerceError(error) },
          `could not read deployment ${change.id} from Redis`,
        ),
      )
  }

  onResync(): void {
    this.#records.onResync()
  }

  #load(record: Deployment): Slot {
    const slot: Slot = { record, live: this.#acquire(record), state: 'loading' }
    slot.live.then(
      ({ rests }) => {
        slot.state = 'ready'
        for (const rest of rests.values()) rest.prepare()
      },
      () => undefined,
    )
    return slot
  }

  async #acquire(record: Deployment): Promise<LiveDeployment> {
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
    const outcomes = await Promise.allSettled(mine.map(({ key }) => holdStage(this.#parts.stageParts, key)))
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

  #retire(slot: Slot): void {
    const id = `${slot.record.id} ${slot.record.planId}`
    const timer = setTimeout(() => {
      this.#retiring.delete(id)
      void letGo(slot)
    }, RETIRE_MS)
    timer.unref()
    this.#retiring.set(id, { slot, timer })
  }
}

async function letGo(slot: Slot): Promise<void> {
  const [outcome] = await Promise.allSettled([slot.live])
  if (outcome.status !== 'fulfilled') return
  for (const held of [...outcome.value.stages.values(), ...outcome.value.rests.values()]) held.release()
}
