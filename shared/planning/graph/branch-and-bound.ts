/**
 * Best-first branch and bound over all routes of the graph view. The bound of a node is one minimum cut
 * (closure-problem.ts). It branches on what a cut cannot express:
 *
 * - a side constraint (lagrangian-bound.ts): a group is put on this or on that side of a link;
 * - a stop must run a layer, not merely pass tensors on: the span of layers that it may run is halved until a cut uses the
 *   stop (spans.ts).
 *
 * A node whose bound is not below the plans found is pruned, so the plans returned are the best. If the search is stopped,
 * the least bound of the open nodes says how far from the best they may be.
 */
import TinyQueue from 'tinyqueue'
import { ClosureProblem } from './closure-problem.ts'
import type { GraphInstance } from './graph-instance.ts'
import {
  isExcluded,
  jointBound,
  keeps,
  lagrangianBound,
  relaxedBound,
  type Solved,
  solvedOf,
} from './lagrangian-bound.ts'
import { activationBytesAt, contributionOf, type Domain, type Placement, quickBound } from './placement.ts'
import type { GraphRoute } from './routes.ts'
import { narrow, type Span } from './spans.ts'

export interface Found {
  route: GraphRoute
  solved: Solved
}

/** A plan to begin with. */
export interface Incumbent {
  route: GraphRoute
  placement: Placement
}

export interface SearchOptions {
  /** True if the first plan found will do. */
  isAnyEnough?: boolean
  /** Plans above this value are not wanted. @defaultValue Infinity */
  maxValue?: number | undefined
  /** Ignored if it does not keep the limits. */
  incumbent?: Incumbent | undefined
  /** Number of plans, each on another route. */
  top: number
  /** True if the search must stop. */
  isOver: (steps: number) => boolean
}

export interface SearchResult {
  /** Best first. */
  found: Found[]
  /** No plan that was not found is better than this. */
  bound: number
}

interface Node extends Domain {
  bound: number
  search: RouteSearch
  /** Per side constraint. */
  prices: Float64Array
  /** True if the cuts of single links did not settle the node. */
  isJoint: boolean
  /** Per link, a lower bound on what it adds. */
  floors: Float64Array | undefined
  /** A stop must run one of these groups. The domain is narrowed accordingly when the node is opened. */
  span: Span | undefined
}

interface RouteSearch {
  problem: ClosureProblem
  best: Solved | undefined
  /** Per stop, once computed: a bound per group that the stop runs it. */
  bounds: Map<number, Float64Array>
  /** Stops whose bounds were computed the dear way too. */
  raised: Set<number>
}

export function searchGraph(
  instance: GraphInstance,
  routes: readonly GraphRoute[],
  options: SearchOptions,
): SearchResult {
  return new BranchAndBound(instance, routes, options).run()
}

/** Relative size of a difference between a bound and a plan's value that is rounding. */
const ROUNDING = 1e-10

class BranchAndBound {
  readonly #instance: GraphInstance
  readonly #options: SearchOptions
  readonly #maxValue: number
  readonly #searches: RouteSearch[]
  readonly #open = new TinyQueue<Node>([], (a, b) => (a.bound < b.bound ? -1 : 1))
  /** Nodes at or above this value are pruned. */
  #cutoff: number
  #steps = 0

  constructor(instance: GraphInstance, routes: readonly GraphRoute[], options: SearchOptions) {
    this.#instance = instance
    this.#options = options
    this.#maxValue = options.maxValue ?? Infinity
    this.#cutoff = this.#maxValue
    this.#searches = routes.map((route) => ({
      problem: new ClosureProblem(instance, route),
      best: undefined,
      bounds: new Map(),
      raised: new Set(),
    }))
    if (options.incumbent) this.#beginWith(options.incumbent)
  }

  run(): SearchResult {
    // Short routes first: their plans prune most of the work on longer ones.
    let bound = Infinity
    const inOrder = this.#searches
      .map((search) => ({ search, quick: quickBound(this.#instance, search.problem.route) }))
      .sort((a, b) => a.search.problem.links - b.search.problem.links || a.quick - b.quick)
    for (const { search, quick } of inOrder)
      if (this.#isOver()) bound = -Infinity
      else if (!this.#isPruned(quick, search)) this.#begin(search)
    for (let node = this.#open.pop(); node !== undefined; node = this.#open.pop()) {
      if (this.#isPruned(node.bound, node.search)) continue
      if (this.#isOver()) {
        bound = Math.min(bound, node.bound)
        break
      }
      this.#steps += 1
      this.#expand(node)
    }
    const found = this.#searches
      .flatMap(({ problem, best }) => (best ? [{ route: problem.route, solved: best }] : []))
      .sort((a, b) => a.solved.value - b.solved.value)
      .slice(0, this.#options.top)
    return { found, bound }
  }

  #isOver(): boolean {
    const { isAnyEnough, isOver } = this.#options
    return isOver(this.#steps) || (isAnyEnough === true && this.#searches.some(({ best }) => best))
  }

  #beginWith({ route, placement }: Incumbent): void {
    const search = this.#searches.find(({ problem }) => problem.route === route)
    if (search === undefined) return
    const solved = solvedOf(search.problem, placement)
    if (route.sideConstraints.every((constraint) => keeps(constraint, solved.totals)))
      this.#offer(search, solved)
  }

  #begin(search: RouteSearch): void {
    const { low, high, sideConstraints } = search.problem.route
    this.#steps += 1
    this.#expand({
      bound: -Infinity,
      search,
      low,
      high,
      prices: new Float64Array(sideConstraints.length),
      isJoint: false,
      span: undefined,
      floors: undefined,
    })
  }

  /** The value that a plan of a route must be below, to improve on the route's best plan and to enter the list. */
  #cutoffOf({ best }: RouteSearch): number {
    return Math.min(this.#cutoff, best?.value ?? Infinity)
  }

  #isPruned(bound: number, search: RouteSearch): boolean {
    if (bound === Infinity) return true
    const cutoff = this.#cutoffOf(search)
    return cutoff < Infinity && bound >= cutoff - Math.abs(cutoff) * ROUNDING
  }

  #expand(node: Node): void {
    const domain = node.span ? narrow(this.#instance.graph, node, node.span) : node
    if (domain === undefined) return
    if (node.search.problem.route.sideConstraints.length > 0) this.#expandConstrained(node, domain)
    else this.#expandFree(node, domain)
  }

  /** Cuts single links first, and all links jointly when the node is opened again, which most nodes never are. */
  #expandFree(node: Node, domain: Domain): void {
    const { search, floors } = node
    const { problem } = search
    const found = (solved: Solved) => this.#offer(search, solved)
    const bound = node.isJoint
      ? jointBound(problem, domain, floors, found)
      : relaxedBound(problem, domain, { floors, cutoff: this.#cutoffOf(search) }, found)
    if (bound === undefined) return
    const value = Math.max(bound.value, node.bound)
    if (this.#isPruned(value, search)) return
    if (bound.at === undefined) {
      this.#open.push({ ...node, bound: value, isJoint: true, floors: bound.floors })
      return
    }
    const idle = idleStop(problem, bound.at)
    const { low, high } = domain
    const child = { ...node, low, high, bound: value, isJoint: false, floors: bound.floors }
    if (idle !== undefined) this.#fill(child, idle, node.span)
  }

  #expandConstrained(node: Node, domain: Domain): void {
    const { search } = node
    const { problem } = search
    const found = (solved: Solved) => this.#offer(search, solved)
    const bound = lagrangianBound(problem, domain, node.prices, this.#cutoffOf(search), found)
    if (bound === undefined) return
    const value = Math.max(bound.value, node.bound)
    if (this.#isPruned(value, search)) return
    const { low, high } = domain
    const child = { ...node, low, high, bound: value, prices: bound.prices, span: undefined }
    const isFree = bound.prices.every((price) => price === 0)
    // A placement that keeps the limits is the best of the domain only if no price was paid.
    if (bound.fits && isFree && isWhole(problem, bound.at)) return
    if (!bound.fits && isExcluded(problem, domain, bound)) return
    const idle = bound.fits ? idleStop(problem, bound.at) : undefined
    if (idle !== undefined) this.#fill(child, idle, node.span)
    else this.#split(child, bound.at)
  }

  /** Takes a placement as a plan if all its stops run a layer and its memory suffices. */
  #offer(search: RouteSearch, solved: Solved): void {
    if (!isWhole(search.problem, solved)) return
    if (solved.value > this.#maxValue) return
    if (search.best !== undefined && search.best.value <= solved.value) return
    search.best = solved
    const values = this.#searches.flatMap(({ best }) => (best ? [best.value] : [])).sort((a, b) => a - b)
    this.#cutoff = Math.min(this.#maxValue, values[this.#options.top - 1] ?? Infinity)
  }

  /**
   * Branches on an idle stop: it runs a group of the first or of the second half of the span that is not pruned. If halving
   * once did not settle it, the bounds are raised, and the group with the lowest one is tried before the others.
   */
  #fill(node: Node, stop: number, whole: Span | undefined): void {
    const bounds = this.#boundsAt(node.search, stop)
    const isOpen = (group: number) => bounds === undefined || !this.#isPruned(bounds[group]!, node.search)
    let { from, to } = whole?.stop === stop ? whole : { from: 0, to: node.low.length }
    const skipPruned = () => {
      while (from < to && !isOpen(from)) from += 1
      while (from < to && !isOpen(to - 1)) to -= 1
    }
    skipPruned()
    const isRaised = from < to && whole?.stop === stop && this.#raise(node.search, stop, bounds)
    if (isRaised) skipPruned()
    if (from === to) return
    const middle = (from + to) >> 1
    // The most promising group first, by itself: its plan prunes most of the others.
    const first = bounds && isRaised ? lowest(bounds, from, to) : undefined
    const parts =
      first === undefined
        ? [
            [from, middle],
            [middle, to],
          ]
        : [
            [from, first],
            [first, first + 1],
            [first + 1, to],
          ]
    for (const [begin, end] of parts) {
      if (begin === end) continue
      const bound = Math.max(node.bound, bounds ? minimumOf(bounds, begin!, end!) : -Infinity)
      if (!this.#isPruned(bound, node.search))
        this.#open.push({ ...node, bound, span: { stop, from: begin!, to: end! } })
    }
  }

  /** Computed only for routes without side constraints: with them, other bounds are stronger. */
  #boundsAt(search: RouteSearch, stop: number): Float64Array | undefined {
    const cutoff = this.#cutoffOf(search)
    if (search.problem.route.sideConstraints.length > 0 || cutoff === Infinity) return undefined
    const known = search.bounds.get(stop)
    if (known) return known
    const made = search.problem.boundsAt(stop, cutoff)
    search.bounds.set(stop, made)
    return made
  }

  /** Raises the bounds of a stop, once. @returns whether it did. */
  #raise(search: RouteSearch, stop: number, bounds: Float64Array | undefined): boolean {
    if (bounds === undefined || search.raised.has(stop)) return false
    search.raised.add(stop)
    search.problem.raiseBoundsAt(stop, bounds, this.#cutoffOf(search))
    return true
  }

  /** Branches on a group: before or beyond a link. */
  #split(node: Node, at: Solved): void {
    const group = groupToSplit(node, at)
    if (group < 0) return
    const stop = at.placement[group]!
    const last = stop < node.high[group]! ? stop : stop - 1
    const high = node.high.slice()
    high[group] = last
    const low = node.low.slice()
    low[group] = last + 1
    this.#open.push({ ...node, high })
    this.#open.push({ ...node, low })
  }
}

function lowest(bounds: Float64Array, from: number, to: number): number {
  let best = from
  for (let group = from; group < to; group += 1) if (bounds[group]! < bounds[best]!) best = group
  return best
}

function minimumOf(bounds: Float64Array, from: number, to: number): number {
  let minimum = Infinity
  for (let group = from; group < to; group += 1) minimum = Math.min(minimum, bounds[group]!)
  return minimum
}

/** The first stop that must run a layer and runs none. */
function idleStop({ route, links }: ClosureProblem, { placement }: Solved): number | undefined {
  for (let stop = route.sourceRuns === true ? 0 : 1; stop <= links; stop += 1)
    if (!placement.includes(stop)) return stop
  return undefined
}

/** Whether all stops that must run a layer do, and the memory of each holds its weights and activations. */
function isWhole(problem: ClosureProblem, solved: Solved): boolean {
  if (idleStop(problem, solved) !== undefined) return false
  const { placement, totals } = solved
  return problem.route.maxMemoryBytes.every(
    (limit, stop) =>
      limit === Infinity ||
      totals.weight[stop]! + activationBytesAt(problem.instance, placement, stop) <= limit,
  )
}

/** The free group that contributes most to the broken side constraints, or to the objective; -1 if all are fixed. */
function groupToSplit({ search, low, high }: Node, { placement, totals }: Solved): number {
  const { instance, route } = search.problem
  const broken = route.sideConstraints.filter((constraint) => !keeps(constraint, totals))
  const forms = broken.length > 0 ? broken.map(({ form }) => form) : [route.objective]
  let best = -1
  let largest = -Infinity
  placement.forEach((stop, group) => {
    if (low[group] === high[group]) return
    const contribution = contributionOf(instance, route, forms, group, stop)
    if (contribution > largest) {
      largest = contribution
      best = group
    }
  })
  return best
}
