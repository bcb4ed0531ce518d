/**
 * A route as closure problems. y[g,l] says that group g runs beyond link l, a[n,l] that the tensors of node n are needed
 * beyond it. With U[s][g] the cost of group g at stop s, and y falling along the route and rising along the edges,
 *
 *   Σ U[0][g] + Σ (U[l+1][g] − U[l][g]) y[g,l] + Σ bytes[t,l] (a[t,l] − y[maker of t,l]) + constant
 *
 * is any linear form of a placement (linear-forms.ts): latency, energy, price and the side constraints alike.
 */
import type { CompiledGraph } from './compile-graph.ts'
import { isExact, isNested, type LoweredCosts, loweredCostsOf } from './convex-costs.ts'
import type { GraphInstance, LinkCut } from './graph-instance.ts'
import type { LinearForm } from './linear-forms.ts'
import { FREE } from './min-cut/closure-graph.ts'
import { ClosureSolver } from './min-cut/closure-solver.ts'
import type { Domain, Placement } from './placement.ts'
import type { GraphRoute } from './routes.ts'

export interface Relaxation {
  bound: number
  /** The best placement, if the links by themselves determine it. */
  placement: Placement | undefined
  /** A placement of the domain, not always the best. */
  candidate: Placement | undefined
  /** Per link, a lower bound on what it adds in this domain and in all its subdomains; undefined if not computed. */
  floors: Float64Array | undefined
}

/** Known bounds: `floors` per link, and the value from which on a bound is high enough. */
export interface KnownBounds {
  floors: Float64Array | undefined
  cutoff: number
}

const NOTHING_KNOWN: KnownBounds = { floors: undefined, cutoff: Infinity }

/** Known of one link's cut: the groups that a best one may have beyond the link, and the value that is high enough. */
interface KnownOfCut {
  within: Uint8Array | undefined
  enough: number
}

const NOTHING_KNOWN_OF_CUT: KnownOfCut = { within: undefined, enough: Infinity }

/** One copy of the graph per link: the closure graph of routes with that many links. */
interface StackedClosure {
  solver: ClosureSolver
  /** Node n at link l has number `base[l] + n`. Later links come first, so that implications lead to higher numbers. */
  base: number[]
  weights: Float64Array
  fixed: Int8Array
}

const stacks = new WeakMap<CompiledGraph, Map<number, StackedClosure>>()

function stackedClosureOf(graph: CompiledGraph, links: number): StackedClosure {
  const byLinks = stacks.get(graph) ?? new Map<number, StackedClosure>()
  stacks.set(graph, byLinks)
  const known = byLinks.get(links)
  if (known) return known
  const base = Array.from({ length: links }, (_, link) => (links - 1 - link) * graph.nodes)
  const from: number[] = []
  const to: number[] = []
  base.forEach((offset, link) => {
    graph.from.forEach((node, arc) => {
      from.push(offset + node)
      to.push(offset + graph.to[arc]!)
    })
    if (link === 0) return
    for (let group = 0; group < graph.groups; group += 1) {
      from.push(offset + group)
      to.push(base[link - 1]! + group)
    }
  })
  const nodes = links * graph.nodes
  const stack: StackedClosure = {
    solver: new ClosureSolver({ nodes, from: Int32Array.from(from), to: Int32Array.from(to) }),
    base,
    weights: new Float64Array(nodes),
    fixed: new Int8Array(nodes).fill(FREE),
  }
  byLinks.set(links, stack)
  return stack
}

/** Best cuts of the first and of the last link by themselves: 1 for nodes beyond. */
interface OuterCuts {
  first: Uint8Array | undefined
  last: Uint8Array | undefined
}

/** Whether a domain forces no group that is beyond the first link to its near side, and none before the last link beyond it. */
function agree({ first, last }: OuterCuts, { low, high }: Domain, links: number): boolean {
  for (let group = 0; group < low.length; group += 1) {
    if (first?.[group] === 1 && high[group] === 0) return false
    if (last?.[group] === 0 && low[group] === links) return false
  }
  return true
}

export class ClosureProblem {
  readonly instance: GraphInstance
  readonly route: GraphRoute
  /** Lowered costs of the objective, the same in every domain. */
  #lowered: LoweredCosts | undefined
  /** Link cuts of the objective in the route's own domain, once computed. */
  #routeCuts: LinkCut[] | undefined
  /** Of the objective in the route's own domain, once computed. */
  #outer: OuterCuts | undefined

  constructor(instance: GraphInstance, route: GraphRoute) {
    this.instance = instance
    this.route = route
  }

  get links(): number {
    return this.route.runners.length - 1
  }

  /** A placement of the domain that minimises the form; undefined if there is none. */
  solve(form: LinearForm, domain: Domain): Placement | undefined {
    const relaxed = this.relax(form, domain)
    return relaxed && (relaxed.placement ?? this.solveJointly(form, domain))
  }

  /** The same by one cut of all links together. */
  solveJointly(form: LinearForm, domain: Domain): Placement | undefined {
    return this.#cutJointly(form, this.#narrowed(form, domain))
  }

  /**
   * A bound by cutting each link by itself, with the costs of the middle stops lowered until the cuts are nested. It is
   * attained if no group of the nested placement is at a stop where its cost was lowered.
   * @returns undefined if the domain has no placement.
   */
  relax(form: LinearForm, domain: Domain, known = NOTHING_KNOWN): Relaxation | undefined {
    const { groups } = this.instance.graph
    const base = this.#baseOf(form)
    if (this.links === 0) {
      const isFree = domain.low.every((stop) => stop === 0)
      const placement = new Uint8Array(groups)
      return isFree ? { bound: base, placement, candidate: placement, floors: known.floors } : undefined
    }
    const lowered = this.#loweredFor(form)
    const cuts: LinkCut[] = []
    const floors = known.floors ?? this.#firstFloors(form, lowered)
    let bound = floors.reduce((total, floor) => total + floor, base)
    for (let link = 0; link < this.links; link += 1) {
      const before = link > 0 && isNested(form, link) ? cuts[link - 1]!.beyond : undefined
      const enough = known.cutoff - bound + floors[link]!
      const cut = this.#cutOf(form, domain, link, lowered, { within: before, enough })
      if (cut === undefined) return undefined
      if (cut === 'enough') return { bound: known.cutoff, placement: undefined, candidate: undefined, floors }
      cuts.push(cut)
      bound += cut.value - floors[link]!
      if (bound >= known.cutoff) return { bound, placement: undefined, candidate: undefined, floors }
    }
    bound = cuts.reduce((total, { value }) => total + value, base)
    if (form === this.route.objective && this.#isWhole(domain)) this.#routeCuts = cuts
    const candidate = this.#nested(cuts)
    const placement = candidate && isExact(lowered, candidate) ? candidate : undefined
    return { bound, placement, candidate, floors: Float64Array.from(cuts, ({ value }) => value) }
  }

  /**
   * Per group a bound on the objective of all plans of the route that have the group at the stop: the values of the link
   * cuts, the increase if the group is forced beyond the link before the stop and not beyond the link after it, and the
   * amount by which its cost at the stop was lowered.
   * @param cutoff bounds from here on need not be distinguished.
   */
  boundsAt(stop: number, cutoff: number): Float64Array {
    const { objective, low, high } = this.route
    const { groups } = this.instance.graph
    const lowered = this.#loweredFor(objective)
    const bounds = new Float64Array(groups)
    if (this.#routeCuts === undefined) this.relax(objective, this.route)
    const cuts = this.#routeCuts
    if (cuts === undefined) return bounds.fill(Infinity)
    const minimum = cuts.reduce((total, { value }) => total + value, this.#baseOf(objective))
    const add = (link: number, way: 'in' | 'out') => {
      const { solver, weights, fixed } = this.#weighLink(objective, this.route, link, lowered)
      const solved = { weights, fixed, inSet: cuts[link]!.beyond, max: cutoff - minimum }
      const costs = solver.costsOfMoving(way, solved)
      for (let group = 0; group < groups; group += 1) bounds[group]! += costs[group]!
    }
    if (stop > 0) add(stop - 1, 'in')
    if (stop < this.links) add(stop, 'out')
    const loweredHere = lowered[stop]
    for (let group = 0; group < groups; group += 1) {
      const isOut = stop < low[group]! || stop > high[group]!
      bounds[group] = isOut ? Infinity : bounds[group]! + minimum + (loweredHere?.[group] ?? 0)
    }
    return bounds
  }

  /**
   * Raises the bounds of a middle stop by what it costs to force a group beyond the link before the stop, or not beyond the
   * link after it, with all links cut together: more exact where costs were lowered, and dearer.
   */
  raiseBoundsAt(stop: number, bounds: Float64Array, cutoff: number): void {
    const { objective } = this.route
    if (this.route.holes.length > 0 || this.#loweredFor(objective)[stop] === undefined) return
    const domain = this.#narrowed(objective, this.route)
    const { solver, base, weights, fixed } = this.#weighJointly(objective, domain)
    const inSet = solver.solve(weights, fixed)?.slice()
    if (inSet === undefined) return
    let minimum = this.#baseOf(objective)
    for (let node = 0; node < weights.length; node += 1) if (inSet[node] === 1) minimum += weights[node]!
    for (let link = 0; link < this.links; link += 1)
      minimum += objective.bytes[link]! * this.instance.graph.alwaysBytes
    const raise = (link: number, way: 'in' | 'out') => {
      const begin = base[link]!
      const end = begin + this.instance.graph.groups
      const costs = solver.costsOfMoving(way, { weights, fixed, inSet, max: cutoff - minimum, begin, end })
      for (let group = 0; group < bounds.length; group += 1)
        bounds[group] = Math.max(bounds[group]!, minimum + costs[begin + group]!)
    }
    raise(stop - 1, 'in')
    raise(stop, 'out')
  }

  /** Whether a domain is the route's own. */
  #isWhole({ low, high }: Domain): boolean {
    return low === this.route.low && high === this.route.high
  }

  #loweredFor(form: LinearForm): LoweredCosts {
    if (form !== this.route.objective) return loweredCostsOf(this.instance, this.route, form)
    this.#lowered ??= loweredCostsOf(this.instance, this.route, form)
    return this.#lowered
  }

  /** The placement that the link cuts form; undefined if a group is beyond a link but not beyond an earlier one. */
  #nested(cuts: readonly LinkCut[]): Placement | undefined {
    const placement = new Uint8Array(this.instance.graph.groups)
    for (let group = 0; group < placement.length; group += 1) {
      let stop = 0
      while (stop < cuts.length && cuts[stop]!.beyond[group] === 1) stop += 1
      for (let link = stop + 1; link < cuts.length; link += 1)
        if (cuts[link]!.beyond[group] === 1) return undefined
      placement[group] = stop
    }
    return this.#isBanned(placement) ? undefined : placement
  }

  /**
   * The domain without placements that single cuts rule out: of the first link from below, of the last from above. Cuts of
   * the route's own domain do so in all its subdomains that force nothing to the other side of these two cuts: a best cut
   * of a sum stays one if the union with the first (the intersection with the last) is allowed (submodularity).
   */
  #narrowed(form: LinearForm, domain: Domain): Domain {
    if (this.route.holes.length > 0 || this.links === 1) return domain
    const own = form === this.route.objective ? this.#outerCutsOfRoute() : undefined
    const outer = own && agree(own, domain, this.links) ? own : this.#outerCuts(form, domain)
    const low = domain.low.slice()
    const high = domain.high.slice()
    for (let group = 0; group < low.length; group += 1) {
      if (outer.first?.[group] === 1 && low[group] === 0) low[group] = 1
      if (outer.last?.[group] === 0 && high[group] === this.links) high[group] = this.links - 1
    }
    return { low, high }
  }

  #outerCutsOfRoute(): OuterCuts {
    this.#outer ??= this.#outerCuts(this.route.objective, this.route)
    return this.#outer
  }

  #outerCuts(form: LinearForm, domain: Domain): OuterCuts {
    return {
      first: this.#cutOf(form, domain, 0, [])?.beyond,
      last: this.#cutOf(form, domain, this.links - 1, [])?.beyond,
    }
  }

  #cutJointly(form: LinearForm, domain: Domain): Placement | undefined {
    const { graph } = this.instance
    const stack = this.#weighJointly(form, domain)
    const inSet = stack.solver.solve(stack.weights, stack.fixed)
    if (inSet === undefined) return undefined
    const placement = new Uint8Array(graph.groups)
    for (let group = 0; group < graph.groups; group += 1) {
      let stop = domain.low[group]!
      while (stop < domain.high[group]! && inSet[stack.base[stop]! + group] === 1) stop += 1
      placement[group] = stop
    }
    return this.#isBanned(placement) ? undefined : placement
  }

  /** Weights and fixed nodes for the cut of all links together. */
  #weighJointly(form: LinearForm, domain: Domain): StackedClosure {
    const stack = stackedClosureOf(this.instance.graph, this.links)
    for (let link = 0; link < this.links; link += 1) this.#weigh(form, link, stack.weights, stack.base[link]!)
    this.#weighHoles(stack)
    this.#fix(stack, domain)
    return stack
  }

  #isBanned(placement: Placement): boolean {
    return this.route.holes.some(([group, stop]) => placement[group] === stop)
  }

  /**
   * The best cut of one link by itself. Cuts that other routes have in common are kept.
   * @returns undefined if there is none; `enough` if its value is at least that.
   */
  #cutOf(form: LinearForm, domain: Domain, link: number, lowered: LoweredCosts): LinkCut | undefined
  #cutOf(
    form: LinearForm,
    domain: Domain,
    link: number,
    lowered: LoweredCosts,
    known: KnownOfCut,
  ): LinkCut | 'enough' | undefined
  #cutOf(
    form: LinearForm,
    domain: Domain,
    link: number,
    lowered: LoweredCosts,
    of: KnownOfCut = NOTHING_KNOWN_OF_CUT,
  ): LinkCut | 'enough' | undefined {
    const isUnchanged = lowered[link] === undefined && lowered[link + 1] === undefined
    const key = isUnchanged ? this.#keyOf(form, domain, link) : undefined
    const known = key === undefined ? undefined : this.instance.cuts.get(key)
    if (known) return known
    const cut = this.#cutLink(form, domain, link, lowered, of)
    if (key !== undefined && cut !== undefined && cut !== 'enough') this.instance.cuts.set(key, cut)
    return cut
  }

  #cutLink(
    form: LinearForm,
    domain: Domain,
    link: number,
    lowered: LoweredCosts,
    { within, enough }: KnownOfCut,
  ): LinkCut | 'enough' | undefined {
    const { graph } = this.instance
    const { solver, weights, fixed } = this.#weighLink(form, domain, link, lowered, within)
    let value = form.bytes[link]! * graph.alwaysBytes
    const inSet = solver.solve(weights, fixed, enough - value)
    if (inSet === undefined || inSet === 'enough') return inSet
    for (let node = 0; node < graph.nodes; node += 1) if (inSet[node] === 1) value += weights[node]!
    return { beyond: inSet.slice(), value }
  }

  /** Floors without any cut: every group goes where it is cheaper, and no tensor crosses. */
  #firstFloors(form: LinearForm, lowered: LoweredCosts): Float64Array {
    const { graph } = this.instance
    return Float64Array.from(form.bytes, (perByte, link) => {
      const { weights } = this.#weighLink(form, this.route, link, lowered)
      let floor = 0
      for (let group = 0; group < graph.groups; group += 1) {
        const own = weights[group]! - perByte * graph.netBytes[group]!
        if (own < 0) floor += own
      }
      return floor
    })
  }

  /** Weights and fixed nodes for the cut of one link by itself. */
  #weighLink(
    form: LinearForm,
    { low, high }: Domain,
    link: number,
    lowered: LoweredCosts,
    within?: Uint8Array,
  ): StackedClosure {
    const { graph } = this.instance
    const stack = stackedClosureOf(graph, 1)
    const { weights, fixed } = stack
    this.#weigh(form, link, weights, 0)
    const here = lowered[link]
    const beyond = lowered[link + 1]
    for (let group = 0; group < graph.groups; group += 1) {
      if (here) weights[group]! += here[group]!
      if (beyond) weights[group]! -= beyond[group]!
      const isOut = high[group]! <= link || within?.[group] === 0
      fixed[group] = low[group]! > link ? 1 : isOut ? 0 : FREE
    }
    return stack
  }

  /** In their own domains, latency between two runners is the same on all routes on which only privacy pins layers. */
  #keyOf(form: LinearForm, domain: Domain, link: number): string | undefined {
    const { runners, sourceRuns, isPlain } = this.route
    if (!isPlain || form !== this.route.objective || !this.#isWhole(domain)) return undefined
    return `${runners[link]} ${runners[link + 1]} ${link === 0 && sourceRuns === false}`
  }

  /** The part of the form that no cut changes: everything at the first stop. Bytes that always cross are in the links. */
  #baseOf(form: LinearForm): number {
    const { graph, runners } = this.instance
    const { ms } = runners[this.route.runners[0]!]!
    let base = form.constant
    for (let group = 0; group < graph.groups; group += 1)
      base += form.compute[0]! * ms[group]! + form.weight[0]! * graph.weightBytes[group]!
    return base
  }

  #weigh(form: LinearForm, link: number, weights: Float64Array, offset: number): void {
    const { graph, runners } = this.instance
    const here = runners[this.route.runners[link]!]!.ms
    const beyond = runners[this.route.runners[link + 1]!]!.ms
    const perMs = form.compute[link]!
    const perMsBeyond = form.compute[link + 1]!
    const perByte = form.bytes[link]!
    const perWeight = form.weight[link + 1]! - form.weight[link]!
    const { netBytes } = graph
    for (let node = 0; node < graph.nodes; node += 1) weights[offset + node] = perByte * netBytes[node]!
    for (let group = 0; group < graph.groups; group += 1)
      weights[offset + group]! +=
        perMsBeyond * beyond[group]! - perMs * here[group]! + perWeight * graph.weightBytes[group]!
  }

  /** Makes a banned stop cost more than everything else could save. */
  #weighHoles({ base, weights }: StackedClosure): void {
    if (this.route.holes.length === 0) return
    const penalty = 1 + 2 * weights.reduce((total, weight) => total + Math.abs(weight), 0)
    for (const [group, stop] of this.route.holes) {
      weights[base[stop - 1]! + group]! += penalty
      weights[base[stop]! + group]! -= penalty
    }
  }

  #fix({ base, fixed }: StackedClosure, { low, high }: Domain): Int8Array {
    fixed.fill(FREE)
    for (let link = 0; link < this.links; link += 1)
      for (let group = 0; group < this.instance.graph.groups; group += 1)
        if (low[group]! > link) fixed[base[link]! + group] = 1
        else if (high[group]! <= link) fixed[base[link]! + group] = 0
    return fixed
  }
}
