/**
 * Compares how long whole requests take at the entry of a deployment with what its plan says. If their median is outside the
 * plan's interval of medians for long, the prediction no longer holds: the machines, the links or the load are others than
 * those planned with. The condition ends within narrower bounds than it begins, and both take LONG_MS.
 *
 * Answers in which a machine stood in, and those of a deployment for a range of shapes, are of something else than the plan.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Conditions } from '../../../shared/platform/redis/conditions.ts'
import { median } from '../../../shared/platform/statistics.ts'

const WINDOW = 31
const MIN_ANSWERS = 15
const LONG_MS = 30_000
/** Shares by which a median must be outside the interval to leave it, and may be outside to be back. */
const LEFT_SHARE = 0.25
const BACK_SHARE = 0.1
/** ms; below it, times are those of the clock and of scheduling. */
const LEAST_MS = 1

export interface PredictionsDeps {
  conditions: Pick<Conditions, 'begin' | 'end'>
  /** False for a deployment that was released while its last requests ran. */
  isHeld: (id: string) => boolean
  /** ms of a monotonic clock. */
  now?: () => number
}

interface Watched {
  /** Of the record that is held against. */
  createdAt: string
  timesMs: number[]
  /** Since when the medians say another thing than the state; undefined if they agree. */
  since: number | undefined
  /** Set while the prediction does not hold. */
  condition: string | undefined
}

export class Predictions {
  readonly #deps: PredictionsDeps
  readonly #now: () => number
  readonly #watched = new Map<string, Watched>()

  constructor(deps: PredictionsDeps) {
    this.#deps = deps
    this.#now = deps.now ?? (() => performance.now())
  }

  /** Records an answer that came by the plan. @param tookMs of the whole request. */
  answered(record: Deployment, tookMs: number): void {
    const { typicalInterval: interval, shapes, verifies } = record
    if (!interval || shapes || verifies !== undefined || !this.#deps.isHeld(record.id)) return
    const watched = this.#of(record)
    watched.timesMs.push(tookMs)
    if (watched.timesMs.length > WINDOW) watched.timesMs.shift()
    if (watched.timesMs.length < MIN_ANSWERS) return
    const middleMs = median(watched.timesMs)
    const share = watched.condition === undefined ? LEFT_SHARE : BACK_SHARE
    const isOutside = isOut(interval, middleMs, share)
    if (isOutside === (watched.condition !== undefined)) {
      watched.since = undefined
      return
    }
    watched.since ??= this.#now()
    if (this.#now() - watched.since >= LONG_MS) this.#turn(record, interval, watched, middleMs)
  }

  /** Forgets a deployment that is no longer held here. */
  forget(id: string): void {
    this.#watched.delete(id)
  }

  #of({ id, createdAt }: Deployment): Watched {
    const known = this.#watched.get(id)
    if (known?.createdAt === createdAt) return known
    if (known?.condition !== undefined) this.#deps.conditions.end(known.condition, 'it was deployed anew')
    const fresh = { createdAt, timesMs: [], since: undefined, condition: undefined }
    this.#watched.set(id, fresh)
    return fresh
  }

  #turn(
    { id }: Deployment,
    { lowMs, highMs }: { lowMs: number; highMs: number },
    watched: Watched,
    middleMs: number,
  ): void {
    watched.since = undefined
    const { conditions } = this.#deps
    if (watched.condition !== undefined) {
      conditions.end(watched.condition, `it takes ${rounded(middleMs)} ms again`)
      watched.condition = undefined
      return
    }
    watched.condition = conditions.begin({
      kind: 'prediction-left',
      about: [id],
      deployment: id,
      message:
        `deployment ${id} takes ${rounded(middleMs)} ms, its plan says ${rounded(lowMs)} to ${rounded(highMs)} ms: ` +
        'benchmark its machines again, or look at their load and links',
    })
  }
}

function isOut({ lowMs, highMs }: { lowMs: number; highMs: number }, ms: number, share: number): boolean {
  return ms > highMs * (1 + share) + LEAST_MS || ms < lowMs * (1 - share) - LEAST_MS
}

const rounded = (ms: number): string => ms.toPrecision(3)
