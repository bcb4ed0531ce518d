/** The plans that a search keeps: the best few, the best per set of resources, the first one, or a Pareto front. */
import type { PlanTotals } from '../objective/objectives.ts'

/** A plan found by the search. Order: criteria (smallest first), fewer stages, earlier resources, cuts, codecs, options. */
export interface Candidate {
  criteria: readonly number[]
  totals: PlanTotals
  stages: CandidateStage[]
}

export interface CandidateStage {
  resource: number
  variant: number
  from: number
  to: number
  /** Index of the codec that its input arrives with. */
  codec: number
}

export interface Collector {
  /** Largest first criterion of a plan that would still be kept; Infinity at first. */
  limit: number
  /** True if no more plans are wanted. */
  done: boolean
  /** Called before the plans of a route. @param resources names the route's set of resources. */
  begin(resources: string): void
  /** True if no plan with criteria at or above these bounds would be kept. */
  beaten(bounds: Float64Array): boolean
  add(candidate: Candidate): void
  /** Best first. */
  results(): Candidate[]
}

/** The largest bound that is still a tie with a cost: bounds are sums in another order. */
function withSlack(value: number, slack: number): number {
  return value + slack + Math.abs(value) * 1e-12
}

/** The best `top` plans. */
export class TopK implements Collector {
  limit = Infinity
  done = false
  readonly #top: number
  readonly #slack: readonly number[]
  /** Sorted: `top` is small. */
  readonly #kept: Candidate[] = []

  /** @param slack per criterion, the most by which rounding may raise a bound above the cost. */
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
export class TopKPerResources implements Collector {
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

  /** The plan that one on the current resources must beat; undefined if any would be kept. */
  #worst(): Candidate | undefined {
    return (
      this.#byResources.get(this.#resources) ??
      (this.#kept.length < this.#top ? undefined : this.#kept.at(-1))
    )
  }
}

/** The first plan found. */
export class FirstFound implements Collector {
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

/** The Pareto front: the plans that no other dominates; of equal plans the one found first. */
export class ParetoFront implements Collector {
  limit = Infinity
  done = false
  #kept: Candidate[] = []

  begin(): void {}

  beaten(bounds: Float64Array): boolean {
    const kept = this.#kept
    for (let at = 0; at < kept.length; at += 1) {
      if (!isAtMost(kept[at]!.criteria, bounds)) continue
      // A plan that dominates one candidate is likely to dominate the next: it moves to the front.
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

/** True if no entry of `a` is above that of `b`: weak dominance. */
function isAtMost(a: readonly number[], b: readonly number[] | Float64Array): boolean {
  for (let at = 0; at < a.length; at += 1) if (a[at]! > b[at]!) return false
  return true
}

/** Lexicographic: a later criterion decides only between ties in all earlier ones. */
function isBeaten(bounds: Float64Array, worst: readonly number[], slack: readonly number[]): boolean {
  for (let at = 0; at < worst.length; at += 1) {
    if (bounds[at]! > withSlack(worst[at]!, slack[at]!)) return true
    // Below the worst plan kept by more than rounding: the plan may be better.
    if (bounds[at]! < worst[at]! - (withSlack(worst[at]!, slack[at]!) - worst[at]!)) return false
  }
  return false
}

function insert(sorted: Candidate[], candidate: Candidate): void {
  let at = sorted.length
  while (at > 0 && compareCandidates(candidate, sorted[at - 1]!) < 0) at -= 1
  sorted.splice(at, 0, candidate)
}

const KEYS = ['resource', 'from', 'codec', 'variant'] as const

/** Negative if `a` comes first. */
function compareCandidates(a: Candidate, b: Candidate): number {
  for (let at = 0; at < a.criteria.length; at += 1)
    if (a.criteria[at] !== b.criteria[at]) return a.criteria[at]! - b.criteria[at]!
  if (a.stages.length !== b.stages.length) return a.stages.length - b.stages.length
  for (const key of KEYS)
    for (let at = 0; at < a.stages.length; at += 1) {
      const difference = a.stages[at]![key] - b.stages[at]![key]
      if (difference !== 0) return difference
    }
  return 0
}
