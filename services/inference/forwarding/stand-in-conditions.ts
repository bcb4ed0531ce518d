/**
 * Notices that requests of a deployment are answered by other machines than its plan's. The condition begins with the first such
 * answer and ends once the plan's machine answers and no other did for QUIET_MS: a hop that is full now and then is one
 * condition, not one for each request.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Conditions } from '../../../shared/platform/redis/conditions.ts'

const QUIET_MS = 5000

export interface StandInsDeps {
  /** Name of this resource. */
  resource: string
  conditions: Pick<Conditions, 'begin' | 'end'>
  /** False for a deployment that was released while its last requests ran. */
  isHeld: (id: string) => boolean
  /** ms of a monotonic clock. */
  now?: () => number
  quietMs?: number
}

export class StandInConditions {
  readonly #deps: StandInsDeps
  readonly #now: () => number
  /** Deployment and hop → the condition, and when a stand-in answered last. */
  readonly #using = new Map<string, { condition: string; lastAt: number }>()

  constructor(deps: StandInsDeps) {
    this.#deps = deps
    this.#now = deps.now ?? (() => performance.now())
  }

  /** A machine stood in. @param hop its position. @param why what was wrong with the plan's machine. */
  stoodIn({ id, hops, verifies }: Deployment, hop: number, by: string, why: string): void {
    const planned = hops[hop]?.resource
    if (verifies !== undefined || planned === undefined) return
    const { conditions, resource, isHeld } = this.#deps
    if (!isHeld(id)) return
    const condition = conditions.begin({
      kind: 'stand-in',
      about: [id, hop, resource],
      deployment: id,
      resource: planned,
      message: `deployment ${id}: ${by} stands in for ${planned} (hop ${hop}): ${why}`,
    })
    this.#using.set(keyOf(id, hop), { condition, lastAt: this.#now() })
  }

  /** The plan's machine answered. */
  asPlanned({ id, hops }: Deployment, hop: number): void {
    const key = keyOf(id, hop)
    const using = this.#using.get(key)
    if (!using || this.#now() - using.lastAt < (this.#deps.quietMs ?? QUIET_MS)) return
    this.#using.delete(key)
    this.#deps.conditions.end(using.condition, `${hops[hop]?.resource} answers again`)
  }

  /** Forgets a deployment that is no longer held here. */
  forget(id: string): void {
    for (const key of this.#using.keys()) if (key.startsWith(`${id} `)) this.#using.delete(key)
  }
}

const keyOf = (id: string, hop: number): string => `${id} ${hop}`
