/**
 * What serving says of this resource's profiles: each stage that ran is held against what its profile predicted, and
 * the median ratio is kept in Redis beside the profile. Never on a request's path: a run is noted, the rest happens
 * later, and a lost Redis loses notes only.
 */
import type { Profile, Served } from '../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import { profileId, type State } from '../../../shared/platform/redis/state.ts'
import type { RunResult } from '../serving/executor/executor.ts'
import type { RangeKey } from '../ranges/range-store.ts'

/** Ratios that the median is taken over: enough to be calm, few enough to follow a machine that changes. */
const KEPT = 101
/** Fewer runs say nothing. */
const ENOUGH = 5
const PUBLISH_MS = 5000
/** Below this the clock and the scheduling of a run are as long as the run. */
const LEAST_MS = 0.05
/** Profiles looked up and not found are asked for again after this. */
const FORGET_MS = 30_000

interface Known {
  /** Undefined while it is being read, or when there is none. */
  profile: Profile | undefined
  readAt: number
  ratios: number[]
  samples: number
  publishedAt: number
}

export interface ServedParts {
  resource: string
  options: RuntimeOptions
  state: State
  log: Logger
}

export class ServedTimes {
  readonly #parts: ServedParts
  readonly #known = new Map<string, Known>()

  constructor(parts: ServedParts) {
    this.#parts = parts
  }

  /** @param key of the stage that ran. */
  ran(key: RangeKey, run: Pick<RunResult, 'computeMs' | 'cpuMs'>): void {
    const { resource, options } = this.#parts
    const id = profileId({ model: key.model, shapesKey: key.shapesKey, resource, options })
    const now = Date.now()
    const known = this.#known.get(id) ?? this.#read(id, now)
    if (!known.profile && now - known.readAt > FORGET_MS) this.#read(id, now)
    if (!known.profile) return
    const predictedMs = stageMs(known.profile, key.from, key.to)
    if (predictedMs < LEAST_MS) return
    // The profile's scale is CPU time where a session has one thread, else wall time: like with like.
    const measuredMs = options.threads === 1 ? run.cpuMs : run.computeMs
    known.ratios.push(measuredMs / predictedMs)
    if (known.ratios.length > KEPT) known.ratios.shift()
    known.samples += 1
    if (known.ratios.length < ENOUGH || now - known.publishedAt < PUBLISH_MS) return
    known.publishedAt = now
    this.#publish(id, known).catch((error: unknown) => this.#failed(error))
  }

  /** A profile that was measured anew starts anew here. */
  onChange(change: Change): void {
    if (change.kind === 'profiles' && this.#known.has(change.id)) this.#known.delete(change.id)
  }

  onResync(): void {
    this.#known.clear()
  }

  #read(id: string, now: number): Known {
    const known: Known = { profile: undefined, readAt: now, ratios: [], samples: 0, publishedAt: 0 }
    this.#known.set(id, known)
    this.#parts.state.profiles.get(id).then(
      (profile) => {
        known.profile = profile
      },
      (error: unknown) => this.#failed(error),
    )
    return known
  }

  async #publish(id: string, known: Known): Promise<void> {
    const scale = median(known.ratios)
    const spread = median(known.ratios.map((ratio) => Math.abs(ratio - scale)))
    if (!(scale > 0)) return
    const served: Served = { id, scale, spread, samples: known.samples, updatedAt: new Date().toISOString() }
    await this.#parts.state.served.put(id, served)
  }

  #failed(error: unknown): void {
    this.#parts.log.debug({ err: coerceError(error) }, 'the times of served stages were not kept')
  }
}

/** What the profile says of layers [from, to), in ms of the machine's own speed. */
export function stageMs({ layerMs, enterMs, exitMs }: Profile, from: number, to: number): number {
  const layers = layerMs.slice(from, to).reduce((sum, ms) => sum + ms, 0)
  return from === to ? 0 : layers + (enterMs?.[from] ?? 0) + (exitMs?.[to] ?? 0)
}

/** @param values at least one. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}
