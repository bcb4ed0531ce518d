/**
 * Notices machines that are lost and machines that are back. Every planner looks, from its copy of Redis; the first one to write
 * it says so. What a lost machine had noticed itself ends with it: nobody could say any more whether it still holds.
 */
import { type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import { type Condition, conditionId } from '../../../shared/contracts/condition.ts'
import type { Conditions } from '../../../shared/platform/redis/conditions.ts'

export interface LostMachinesDeps {
  mirror: {
    readonly resources: ReadonlyMap<string, Resource>
    readonly conditions: ReadonlyMap<string, Condition>
  }
  conditions: Pick<Conditions, 'begin' | 'end' | 'has'>
  heartbeatMs: number
  now: () => number
  /** True if heartbeats could be read for long enough to judge by them. Never rejects. */
  isInformed: () => Promise<boolean>
}

const idOf = (name: string): string => conditionId('lost-machine', [name])

export class LostMachines {
  readonly #deps: LostMachinesDeps
  #timer: NodeJS.Timeout | undefined

  constructor(deps: LostMachinesDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#timer = setInterval(() => void this.check(), this.#deps.heartbeatMs).unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** Compares what is alive with what is on record as lost. */
  async check(): Promise<void> {
    const { mirror, conditions, isInformed } = this.#deps
    if (!(await isInformed())) return
    for (const resource of mirror.resources.values()) {
      if (this.#isLost(resource)) this.#lost(resource)
      // Another planner may have said so first.
      else if (conditions.has(idOf(resource.name))) conditions.end(idOf(resource.name), 'it is back')
    }
    for (const { id, kind, resource, by } of mirror.conditions.values()) {
      if (kind === 'lost-machine') this.#endIfBack(id, resource ?? '')
      else if ((kind === 'open-breaker' || kind === 'wrong-machine') && !mirror.resources.has(resource ?? ''))
        conditions.end(id, `${resource} has left`)
      else if (by !== 'planner' && !this.#isAlive(by)) conditions.end(id, `${by} is gone`)
    }
  }

  #lost({ name, heartbeatAt }: Resource): void {
    if (this.#deps.mirror.conditions.has(idOf(name))) return
    this.#deps.conditions.begin({
      kind: 'lost-machine',
      about: [name],
      resource: name,
      message: `resource ${name} is lost: no heartbeat since ${heartbeatAt}`,
    })
  }

  #endIfBack(id: string, name: string): void {
    const resource = this.#deps.mirror.resources.get(name)
    if (resource && this.#isLost(resource)) return
    this.#deps.conditions.end(id, resource ? `${name} is back` : `${name} has left`)
  }

  #isAlive(name: string): boolean {
    const resource = this.#deps.mirror.resources.get(name)
    return resource !== undefined && !this.#isLost(resource)
  }

  #isLost(resource: Resource): boolean {
    const { heartbeatMs, now } = this.#deps
    return resource.source !== 'imported' && !withLiveness(resource, heartbeatMs, now()).alive
  }
}
