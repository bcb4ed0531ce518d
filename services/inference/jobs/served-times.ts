/**
 * Compares this resource's profiles with serving: the time of each stage that ran is divided by its profile's prediction,
 * and the median ratio is stored in Redis beside the profile. A request only records its time; reading and storing happen
 * later, and a lost Redis loses records only.
 */
import type { Change } from '../../../shared/platform/redis/changes.ts'
import type { Profile, Served } from '../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { profileId, type State } from '../../../shared/platform/redis/state.ts'
import { median, medianAbsoluteDeviation } from '../../../shared/platform/statistics.ts'
import type { PaceSampler } from '../pace/pace-sampler.ts'
import type { RunResult } from '../serving/executor/executor.ts'
import type { RangeKey } from '../ranges/stored-range.ts'

/** Window of the running median: long enough for a stable figure, short enough to follow a machine that changes. */
const MAX_RATIOS = 101
/** A median of fewer runs is not published. */
const MIN_RATIOS = 5
const PUBLISH_MS = 5000
/** Shorter stages are ignored: clock and scheduling take as long as the run. */
const MIN_STAGE_MS = 0.05
/** The pace is not seen in stages shorter than this. */
const MIN_PACE_MS = 1
/** A profile that was not found is read again after this time. */
const REREAD_MS = 30_000

interface Known {
  /** Undefined while it is being read, or if there is none. */
  profile: Profile | undefined
  readAt: number
  ratios: number[]
  samples: number
  publishedAt: number
}

export interface ServedTimesDeps {
  resource: string
  options: RuntimeOptions
  /** Is given each stage as a sample of the machine's pace: PaceSampler.served. */
  onPace?: PaceSampler['served']
  state: State
  /** False while the name is not this service's: its stages say nothing of the profiles of the one that has it. */
  isOwner: () => boolean
  log: Logger
}

type Ran = Pick<RunResult, 'computeMs' | 'cpuMs'>

export class ServedTimes {
  readonly #deps: ServedTimesDeps
  readonly #known = new Map<string, Known>()

  constructor(deps: ServedTimesDeps) {
    this.#deps = deps
  }

  /** Records a run. @param key the stage that ran. */
  ran(key: RangeKey, run: Ran): void {
    const { resource, options } = this.#deps
    const id = profileId({ model: key.model, shapesKey: key.shapesKey, resource, options })
    const now = performance.now()
    const known = this.#known.get(id) ?? this.#read(id, now)
    if (!known.profile && now - known.readAt > REREAD_MS) this.#read(id, now)
    if (!known.profile) return
    const predictedMs = stageMs(known.profile, key.from, key.to)
    if (predictedMs < MIN_STAGE_MS) return
    // As in the profile: CPU time if a session has one thread, else wall time.
    const measuredMs = options.threads === 1 ? run.cpuMs : run.computeMs
    this.#tellPace(known.profile, predictedMs, measuredMs, run.computeMs)
    known.ratios.push(measuredMs / predictedMs)
    if (known.ratios.length > MAX_RATIOS) known.ratios.shift()
    known.samples += 1
    if (known.ratios.length < MIN_RATIOS || now - known.publishedAt < PUBLISH_MS) return
    if (!this.#deps.isOwner()) return
    known.publishedAt = now
    this.#publish(id, known).catch((error: unknown) => this.#failed(error))
  }

  /** The stage as a run of the reference network that takes as long as this one, divided by its share. */
  #tellPace({ pace }: Profile, predictedMs: number, measuredMs: number, wallMs: number): void {
    const { onPace } = this.#deps
    if (!pace || predictedMs < MIN_PACE_MS || measuredMs <= 0) return
    onPace?.((measuredMs / predictedMs) * pace.ms, Math.max(1, wallMs / measuredMs))
  }

  /** Forgets the records of a profile that was measured anew. */
  onChange(change: Change): void {
    if (change.kind === 'profiles' && this.#known.has(change.id)) this.#known.delete(change.id)
  }

  onResync(): void {
    this.#known.clear()
  }

  #read(id: string, now: number): Known {
    const known: Known = { profile: undefined, readAt: now, ratios: [], samples: 0, publishedAt: -Infinity }
    this.#known.set(id, known)
    this.#deps.state.profiles.get(id).then(
      (profile) => {
        known.profile = profile
      },
      (error: unknown) => this.#failed(error),
    )
    return known
  }

  async #publish(id: string, known: Known): Promise<void> {
    const scale = median(known.ratios)
    const spread = medianAbsoluteDeviation(known.ratios)
    if (!(scale > 0)) return
    const served: Served = { id, scale, spread, samples: known.samples, updatedAt: new Date().toISOString() }
    await this.#deps.state.served.put(id, served)
  }

  #failed(error: unknown): void {
    this.#deps.log.debug({ err: coerceError(error) }, 'the times of served stages were not kept')
  }
}

/** The profile's prediction for layers [from, to), in ms of the machine's own speed. */
export function stageMs({ layerMs, enterMs, exitMs }: Profile, from: number, to: number): number {
  const layers = layerMs.slice(from, to).reduce((sum, ms) => sum + ms, 0)
  return from === to ? 0 : layers + (enterMs?.[from] ?? 0) + (exitMs?.[to] ?? 0)
}
