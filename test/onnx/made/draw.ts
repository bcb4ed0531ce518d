/** Seeded choices, so that one number says which model was made. */
import { randomFrom } from '../../support/random.ts'

export class Draw {
  readonly #random: () => number

  constructor(seed: number) {
    this.#random = randomFrom(seed)
  }

  /** One of 0 … below-1. */
  whole(below: number): number {
    return Math.floor(this.#random() * below)
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.whole(items.length)]
    if (item === undefined) throw new Error('nothing to choose from')
    return item
  }

  /** Nearly a normal number: the sum of twelve uniform ones. */
  normal(): number {
    return Array.from({ length: 12 }, () => this.#random()).reduce((sum, one) => sum + one, -6)
  }

  normals(count: number): number[] {
    return Array.from({ length: count }, () => this.normal())
  }
}
