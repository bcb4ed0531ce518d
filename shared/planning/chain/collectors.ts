/** What a search keeps of the plans it meets: the best few, the best per set of resources, or a front. */
import { type Candidate, compareCandidates } from './route-costs.ts'

export interface Collector {
  /** What the first criterion may come to at most for a plan to be kept; Infinity at first. */
  limit: number
  /** True when no more plans are wanted. */
  done: boolean
  /** Called before the plans of a route, named by its resources. */
  begin(resources: string): void
  /** True when no plan with criteria at or above these bounds would be kept. */
  beaten(bounds: Float64Array): boolean
  add(candidate: Candidate): void
  /** In order, best first. */
  results(): Candidate[]
}

/** Bounds are sums in another order than costs: this much above a cost is still a tie. */
function withSlack(value: number, slack: number): number {
  return value + slack + Math.abs(value) * 1e-12
}

/** The best `top` plans. */
export class Best implements Collector {
  limit = Infinity
  done = false
  readonly #top: number
  readonly #slack: readonly number[]
  /** Sorted: `top` is small. */
  readonly #kept: Candidate[] = []

  /** @param slack per criterion, how far rounding may take a bound above the cost. */
  constructor(top: number, slack: readonly number[]) {
    this.#top = top
    this.#slack = slack
  }

  begin(): void {}

  beaten(bounds: Float64Array): boolean {
    if (this.#kept.length < this.#top) return false
    const { criteria } = this.#kept[this.#top - 1]!
    return isBeaten(bounds, criteria, this.#slack)
  }

  add(candidate: Candidate): void {
    insert(this.#kept, candidate)
    if (this.#kept.length > this.#top) this.#kept.pop()
    if (this.#kept.length === this.#top)
      this.limit = withSlack(this.#kept[this.#top - 1]!.criteria[0]!, this.#slack[0]!)
  }

  results(): Candidate[] {
    return this.#kept
  }
}

/** The best plan of each set of resources, of the best `top` sets. */
export class BestPerResources implements Collector {
  limit = Infinity
  done = false
  readonly #top: number
  readonly #slack: readonly number[]
  readonly #byResources = new Map<string, Candidate>()
  #kept: Candidate[] = []
  #resources = ''

  constructor(top: number, slack: readonly number[]) {
    this.#top = top
    this.#slack = slack
  }

  begin(resources: string): void {
    this.#resources = resources
    const worst = this.#worst()
    this.limit = worst ? withSlack(worst.criteria[0]!, this.#slack[0]!) : Infinity
  }

  beaten(bounds: Float64Array): boolean {
    const worst = this.#worst()
    return worst !== undefined && isBeaten(bounds, worst.criteria, this.#slack)
  }

  add(candidate: Candidate): void {
    const known = this.#byResources.get(this.#resources)
    if (known && compareCandidates(known, candidate) <= 0) return
    this.#byResources.set(this.#resources, candidate)
    this.#kept = this.#kept.filter((other) => other !== known)
    insert(this.#kept, candidate)
    for (const dropped of this.#kept.splice(this.#top)) {
      for (const [key, one] of this.#byResources) if (one === dropped) this.#byResources.delete(key)
    }
    this.begin(this.#resources)
  }

  results(): Candidate[] {
    return this.#kept
  }

  /** What a plan on the present resources has to come before. */
  #worst(): Candidate | undefined {
    return (
      this.#byResources.get(this.#resources) ??
      (this.#kept.length < this.#top ? undefined : this.#kept.at(-1))
    )
  }
}

/** Any one plan. */
export class Any implements Collector {
  limit = Infinity
  done = false
  #found: Candidate[] = []

  begin(): void {}

  beaten(): boolean {
    return this.done
  }

  add(candidate: Candidate): void {
    this.#found = [candidate]
    this.done = true
  }

  results(): Candidate[] {
    return this.#found
  }
}

/** Plans that no other is better than, or as good and better in one criterion; of equals the one found first. */
export class Front implements Collector {
  limit = Infinity
  done = false
  #kept: Candidate[] = []

  begin(): void {}

  beaten(bounds: Float64Array): boolean {
    const kept = this.#kept
    for (let at = 0; at < kept.length; at += 1) {
      if (!isAtMost(kept[at]!.criteria, bounds)) continue
      // What beats one is likely to beat the next.
      if (at > 0) [kept[0], kept[at]] = [kept[at]!, kept[0]!]
      return true
    }
    return false
  }

  add(candidate: Candidate): void {
    const { criteria } = candidate
    if (this.#kept.some((other) => isAtMost(other.criteria, criteria))) return
    this.#kept = this.#kept.filter((other) => !isAtMost(criteria, other.criteria))
    this.#kept.push(candidate)
  }

  results(): Candidate[] {
    return this.#kept.sort(compareCandidates)
  }
}

function isAtMost(a: readonly number[], b: readonly number[] | Float64Array): boolean {
  for (let at = 0; at < a.length; at += 1) if (a[at]! > b[at]!) return false
  return true
}

/** Criteria count in order: a later one only where the earlier ones tie. */
function isBeaten(bounds: Float64Array, worst: readonly number[], slack: readonly number[]): boolean {
  for (let at = 0; at < worst.length; at += 1) {
    if (bounds[at]! > withSlack(worst[at]!, slack[at]!)) return true
    // A bound below may still belong to a plan that is better.
    if (bounds[at]! < worst[at]! - (withSlack(worst[at]!, slack[at]!) - worst[at]!)) return false
  }
  return false
}

function insert(sorted: Candidate[], candidate: Candidate): void {
  let at = sorted.length
  while (at > 0 && compareCandidates(candidate, sorted[at - 1]!) < 0) at -= 1
  sorted.splice(at, 0, candidate)
}
