/** Tells followers which conditions begin and end, from the planner's copy of Redis: once each, however often it is read. */
import type { Condition, ConditionEvent, ConditionKind } from '../../../shared/contracts/condition.ts'

/** What a feed is made of: the mirror's copy, which says when it changed. */
export interface MirroredConditions {
  readonly conditions: ReadonlyMap<string, Condition>
  onConditions: (changed: () => void) => void
}

export class ConditionFeed {
  readonly #mirror: MirroredConditions
  /** As followers know them. */
  readonly #told = new Map<string, Condition>()
  readonly #followers = new Set<(event: ConditionEvent) => void>()

  constructor(mirror: MirroredConditions) {
    this.#mirror = mirror
    mirror.onConditions(() => this.#compare())
  }

  /** Those that hold now, by their ids. */
  active(): Condition[] {
    return [...this.#mirror.conditions.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  count(kind: ConditionKind): number {
    return this.active().filter((condition) => condition.kind === kind).length
  }

  /** @returns stops following. */
  follow(follower: (event: ConditionEvent) => void): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  #compare(): void {
    const { conditions } = this.#mirror
    for (const [id, condition] of this.#told) {
      // One that ended and began again between two readings is another one.
      if (conditions.get(id)?.since === condition.since) continue
      this.#told.delete(id)
      this.#tell({ ...condition, state: 'ended' })
    }
    for (const [id, condition] of conditions) {
      if (this.#told.has(id)) continue
      this.#told.set(id, condition)
      this.#tell({ ...condition, state: 'began' })
    }
  }

  #tell(event: ConditionEvent): void {
    for (const follower of this.#followers) follower(event)
  }
}
