/**
 * One path as closure problems. y[g,l] says that group g runs beyond link l, a[n,l] that the tensors of node n are
 * needed beyond it. With U[p][g] the cost of group g at place p, y falling along the path and rising along the edges,
 *
 *   Σ U[0][g] + Σ (U[l+1][g] − U[l][g]) y[g,l] + Σ wire[t,l] (a[t,l] − y[maker of t,l]) + constant
 *
 * is any sum of times at places, bytes over links and bytes of weights: latency, energy, price and the budgets alike.
 */
import type { Path, Sum } from './routes.ts'
import { ALWAYS, type CompiledGraph, INPUT } from './compile-graph.ts'
import type { World } from './graph-instance.ts'
import { isLaid, keepsCost, type Lowered, loweredCosts } from './convex-costs.ts'
import { ClosureSolver, FREE } from './min-cut/closure-solver.ts'

/** Per group its place on the path. */
export type Placement = Uint8Array

export interface Domain {
  low: Uint8Array
  high: Uint8Array
}

/** What a placement comes to: per place ms of its layers and bytes of weights, per link bytes. */
export interface Totals {
  compute: Float64Array
  weight: Float64Array
  bytes: Float64Array
}

/** The closure graph of paths with so many links. */
interface Ladder {
  solver: ClosureSolver
  /** Number of node n at link l: `base[l] + n`; later links come first, so that implications lead to higher numbers. */
  base: number[]
  weights: Float64Array
  fixed: Int8Array
}

/** The best cut of one link: 1 for the nodes beyond it, and what it adds to the sum. */
export interface LinkCut {
  beyond: Uint8Array
  value: number
}

export interface Relaxed {
  bound: number
  /** The best placement, when the links by themselves say it. */
  placement: Placement | undefined
  /** A placement, not always the best. */
  candidate: Placement | undefined
  /** What each link adds at least, in this domain and in all within it; a bound from the cutoff on has none. */
  floors: Float64Array | undefined
}

/** What is known before: what each link adds at least, and the bound from which on no better one is of use. */
export interface Goal {
  floors: Float64Array | undefined
  cutoff: number
}

const NO_GOAL: Goal = { floors: undefined, cutoff: Infinity }

const ladders = new WeakMap<CompiledGraph, Map<number, Ladder>>()

function ladderOf(graph: CompiledGraph, links: number): Ladder {
  const kept = ladders.get(graph) ?? new Map<number, Ladder>()
  ladders.set(graph, kept)
  const known = kept.get(links)
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
  const ladder: Ladder = {
    solver: new ClosureSolver({ nodes, from: Int32Array.from(from), to: Int32Array.from(to) }),
    base,
    weights: new Float64Array(nodes),
    fixed: new Int8Array(nodes).fill(FREE),
  }
  kept.set(links, ladder)
  return ladder
}

export class PathModel {
  readonly path: Path
  readonly #world: World
  /** Of the objective: the same in every domain. */
  #lowered: (Lowered | undefined)[] | undefined
  /** Of the objective in the path's own domain, once they were cut. */
  #own: LinkCut[] | undefined
  constructor(world: World, path: Path) {
    this.path = path
    this.#world = world
  }

  /** A bound without any cut: every group where it costs least, and nothing that crosses a link. */
  leastValue(): number {
    const { objective, places, low, high } = this.path
    const { graph } = this.#world
    const ms = places.map((place) => this.#world.places[place]!.ms)
    let value = objective.constant
    for (let group = 0; group < graph.groups; group += 1) {
      let least = Infinity
      for (let place = low[group]!; place <= high[group]!; place += 1) {
        const weight = objective.weight[place]! * graph.weightBytes[group]!
        const cost = objective.compute[place]! * ms[place]![group]! + weight
        if (cost < least) least = cost
      }
      value += least
    }
    return value
  }

  get links(): number {
    return this.path.places.length - 1
  }

  /** A placement within the domain that makes the sum least; undefined when there is none. */
  solve(sum: Sum, domain: Domain): Placement | undefined {
    const relaxed = this.relax(sum, domain)
    return relaxed && (relaxed.placement ?? this.solveJointly(sum, domain))
  }

  /** The same by one cut of all links together. */
  solveJointly(sum: Sum, domain: Domain): Placement | undefined {
    return this.#cutJointly(sum, this.#narrowed(sum, domain))
  }

  /**
   * A bound from each link by itself, with the costs of the places between lowered until the cuts lie one behind the
   * other; the placement, where no group is at a place that was made cheaper than it is.
   * @returns undefined when the domain holds no placement.
   */
  relax(sum: Sum, domain: Domain, goal: Goal = NO_GOAL): Relaxed | undefined {
    const { groups } = this.#world.graph
    const base = this.#baseOf(sum)
    if (this.links === 0) {
      const isFree = domain.low.every((place) => place === 0)
      const placement = new Uint8Array(groups)
      return isFree ? { bound: base, placement, candidate: placement, floors: goal.floors } : undefined
    }
    const lowered = this.#loweredFor(sum)
    const links: LinkCut[] = []
    const { cutoff } = goal
    const floors = goal.floors ?? this.#firstFloors(sum, lowered)
    let bound = floors.reduce((all, value) => all + value, base)
    for (let link = 0; link < this.links; link += 1) {
      const before = link > 0 && isLaid(sum, link) ? links[link - 1]!.beyond : undefined
      const cut = this.#cutOf(sum, domain, link, lowered, before)
      if (cut === undefined) return undefined
      links.push(cut)
      bound += cut.value - floors[link]!
      if (bound >= cutoff) return { bound, placement: undefined, candidate: undefined, floors }
    }
    bound = links.reduce((total, { value }) => total + value, base)
    if (sum === this.path.objective && domain.low === this.path.low && domain.high === this.path.high)
      this.#own = links
    const candidate = this.#nested(links)
    const isExact = candidate && lowered.every((costs, place) => keepsCost(costs, candidate, place))
    const values = Float64Array.from(links, ({ value }) => value)
    return { bound, placement: isExact ? candidate : undefined, candidate, floors: values }
  }

  /**
   * Per group a bound on the objective of all plans of the path that have the group at the place. Links by themselves:
   * what they come to, what it adds to have the group beyond the one and before the other, and what it was taken to cost
   * less there than it does.
   * @param cutoff bounds from here on need not be told apart.
   */
  boundsAt(place: number, cutoff: number): Float64Array {
    const { objective, low, high } = this.path
    const { groups } = this.#world.graph
    const lowered = this.#loweredFor(objective)
    const bounds = new Float64Array(groups)
    if (this.#own === undefined) this.relax(objective, this.path)
    const cuts = this.#own
    if (cuts === undefined) return bounds.fill(Infinity)
    const least = cuts.reduce((sum, { value }) => sum + value, this.#baseOf(objective))
    const add = (link: number, way: 'in' | 'out') => {
      const { solver, weights, fixed } = this.#weighLink(objective, this.path, link, lowered)
      const known = { weights, fixed, inSet: cuts[link]!.beyond, most: cutoff - least }
      const costs = solver.costsOfMoving(way, known)
      for (let group = 0; group < groups; group += 1) bounds[group]! += costs[group]!
    }
    if (place > 0) add(place - 1, 'in')
    if (place < this.links) add(place, 'out')
    const dearer = lowered[place]?.by
    for (let group = 0; group < groups; group += 1) {
      const isOut = place < low[group]! || place > high[group]!
      bounds[group] = isOut ? Infinity : bounds[group]! + least + (dearer?.[group] ?? 0)
    }
    return bounds
  }

  #loweredFor(sum: Sum): (Lowered | undefined)[] {
    if (sum !== this.path.objective) return loweredCosts(this.#world, this.path, sum)
    this.#lowered ??= loweredCosts(this.#world, this.path, sum)
    return this.#lowered
  }

  /** The places that cuts of single links come to; undefined when a later link has groups beyond it that an earlier has not. */
  #nested(links: readonly LinkCut[]): Placement | undefined {
    const placement = new Uint8Array(this.#world.graph.groups)
    for (let group = 0; group < placement.length; group += 1) {
      let place = 0
      while (place < links.length && links[place]!.beyond[group] === 1) place += 1
      for (let link = place + 1; link < links.length; link += 1)
        if (links[link]!.beyond[group] === 1) return undefined
      placement[group] = place
    }
    return this.#isBanned(placement) ? undefined : placement
  }

  /** Some best placement has beyond the first link what its own cut has there, and beyond the last no more than that. */
  #narrowed(sum: Sum, domain: Domain): Domain {
    if (this.path.holes.length > 0 || this.links === 1) return domain
    const low = domain.low.slice()
    const high = domain.high.slice()
    const first = this.#cutOf(sum, domain, 0, [])?.beyond
    const last = this.#cutOf(sum, domain, this.links - 1, [])?.beyond
    for (let group = 0; group < low.length; group += 1) {
      if (first?.[group] === 1 && low[group] === 0) low[group] = 1
      if (last?.[group] === 0 && high[group] === this.links) high[group] = this.links - 1
    }
    return { low, high }
  }

  #cutJointly(sum: Sum, domain: Domain): Placement | undefined {
    const { graph } = this.#world
    const ladder = ladderOf(graph, this.links)
    for (let link = 0; link < this.links; link += 1)
      this.#weigh(sum, link, ladder.weights, ladder.base[link]!)
    this.#weighHoles(ladder)
    const inSet = ladder.solver.solve(ladder.weights, this.#fix(ladder, domain))
    if (inSet === undefined) return undefined
    const placement = new Uint8Array(graph.groups)
    for (let group = 0; group < graph.groups; group += 1) {
      let place = domain.low[group]!
      while (place < domain.high[group]! && inSet[ladder.base[place]! + group] === 1) place += 1
      placement[group] = place
    }
    return this.#isBanned(placement) ? undefined : placement
  }

  #isBanned(placement: Placement): boolean {
    return this.path.holes.some(([group, place]) => placement[group] === place)
  }

  /**
   * The best cut of one link by itself, kept where the same one is asked for by other paths.
   * @param within groups that a best cut has beyond the link are among these.
   */
  #cutOf(
    sum: Sum,
    domain: Domain,
    link: number,
    lowered: readonly (Lowered | undefined)[],
    within?: Uint8Array,
  ): LinkCut | undefined {
    const isOwn = lowered[link] === undefined && lowered[link + 1] === undefined
    const key = isOwn ? this.#keyOf(sum, domain, link) : undefined
    const known = key === undefined ? undefined : this.#world.cuts.get(key)
    if (known) return known
    const cut = this.#cutLink(sum, domain, link, lowered, within)
    if (key !== undefined && cut !== undefined) this.#world.cuts.set(key, cut)
    return cut
  }

  #cutLink(
    sum: Sum,
    domain: Domain,
    link: number,
    lowered: readonly (Lowered | undefined)[],
    within?: Uint8Array,
  ): LinkCut | undefined {
    const { graph } = this.#world
    const { solver, weights, fixed } = this.#weighLink(sum, domain, link, lowered, within)
    const inSet = solver.solve(weights, fixed)
    if (inSet === undefined) return undefined
    let value = sum.bytes[link]! * graph.alwaysBytes
    for (let node = 0; node < graph.nodes; node += 1) if (inSet[node] === 1) value += weights[node]!
    return { beyond: inSet.slice(), value }
  }

  /** What each link adds at least without any cut: every group goes where it is cheaper, and no tensor with it. */
  #firstFloors(sum: Sum, lowered: readonly (Lowered | undefined)[]): Float64Array {
    const { graph } = this.#world
    return Float64Array.from(sum.bytes, (perByte, link) => {
      const { weights } = this.#weighLink(sum, this.path, link, lowered)
      let floor = 0
      for (let group = 0; group < graph.groups; group += 1) {
        const own = weights[group]! - perByte * graph.netBytes[group]!
        if (own < 0) floor += own
      }
      return floor
    })
  }

  /** Weights and what is fixed for the cut of one link by itself. */
  #weighLink(
    sum: Sum,
    { low, high }: Domain,
    link: number,
    lowered: readonly (Lowered | undefined)[],
    within?: Uint8Array,
  ): Ladder {
    const { graph } = this.#world
    const ladder = ladderOf(graph, 1)
    const { weights, fixed } = ladder
    this.#weigh(sum, link, weights, 0)
    const here = lowered[link]?.by
    const beyond = lowered[link + 1]?.by
    for (let group = 0; group < graph.groups; group += 1) {
      if (here) weights[group]! += here[group]!
      if (beyond) weights[group]! -= beyond[group]!
      const isOut = high[group]! <= link || within?.[group] === 0
      fixed[group] = low[group]! > link ? 1 : isOut ? 0 : FREE
    }
    return ladder
  }

  /** Latency between two places is the same on all paths where only privacy pins layers. */
  #keyOf(sum: Sum, domain: Domain, link: number): string | undefined {
    const { places, sourceRuns, isPlain } = this.path
    if (!isPlain || sum !== this.path.objective || domain.low !== this.path.low) return undefined
    return `${places[link]} ${places[link + 1]} ${link === 0 && sourceRuns === false}`
  }

  /** The sum's part that no cut changes: everything at the first place, and what crosses in any case is in the links. */
  #baseOf(sum: Sum): number {
    const { places, graph } = this.#world
    const { ms } = places[this.path.places[0]!]!
    let base = sum.constant
    for (let group = 0; group < graph.groups; group += 1)
      base += sum.compute[0]! * ms[group]! + sum.weight[0]! * graph.weightBytes[group]!
    return base
  }

  totals(placement: Placement): Totals {
    const { graph, places } = this.#world
    const count = this.path.places.length
    const totals: Totals = {
      compute: new Float64Array(count),
      weight: new Float64Array(count),
      bytes: new Float64Array(count - 1),
    }
    for (let group = 0; group < graph.groups; group += 1) {
      const at = placement[group]!
      totals.compute[at]! += places[this.path.places[at]!]!.ms[group]!
      totals.weight[at]! += graph.weightBytes[group]!
    }
    this.#addBytes(placement, totals.bytes)
    return totals
  }

  /** The most bytes of tensors alive at a place while one of its layers runs. */
  activationBytes(placement: Placement, place: number): number {
    const { activationBytes } = this.#world.graph
    let most = 0
    placement.forEach((at, group) => {
      if (at === place) most = Math.max(most, activationBytes[group]!)
    })
    return most
  }

  /** How much a group at a place adds to sums, by the size of what it adds. */
  weightIn(budgets: readonly { sum: Sum }[], group: number, place: number): number {
    const { graph, places } = this.#world
    const { netBytes } = graph
    const ms = places[this.path.places[place]!]!.ms[group]!
    let total = 0
    for (const { sum } of budgets.length > 0 ? budgets : [{ sum: this.path.objective }]) {
      total += Math.abs(sum.compute[place]!) * ms + Math.abs(sum.weight[place]!) * graph.weightBytes[group]!
      for (const at of [place - 1, place]) total += Math.abs((sum.bytes[at] ?? 0) * netBytes[group]!)
    }
    return total
  }

  #addBytes(placement: Placement, bytes: Float64Array): void {
    const { flows, nodes, groups } = this.#world.graph
    const reach = this.#reach(placement, new Uint8Array(nodes), groups)
    flows.bytes.forEach((size, tensor) => {
      const maker = flows.maker[tensor]!
      const needed = flows.needed[tensor]!
      const first = maker === INPUT ? 0 : placement[maker]!
      const last = needed === ALWAYS ? bytes.length : reach[needed]!
      for (let link = first; link < last; link += 1) bytes[link]! += size
    })
  }

  /** Per node the last place where its tensors are needed. */
  #reach(placement: Placement, reach: Uint8Array, groups: number): Uint8Array {
    const { from, to } = this.#world.graph
    reach.set(placement)
    for (let arc = 0; arc < from.length; arc += 1)
      if (to[arc]! >= groups) reach[to[arc]!] = Math.max(reach[to[arc]!]!, placement[from[arc]!]!)
    return reach
  }

  #weigh(sum: Sum, link: number, weights: Float64Array, offset: number): void {
    const { graph, places } = this.#world
    const here = places[this.path.places[link]!]!.ms
    const beyond = places[this.path.places[link + 1]!]!.ms
    const perMs = sum.compute[link]!
    const perMsBeyond = sum.compute[link + 1]!
    const perByte = sum.bytes[link]!
    const perWeight = sum.weight[link + 1]! - sum.weight[link]!
    const { netBytes } = graph
    for (let node = 0; node < graph.nodes; node += 1) weights[offset + node] = perByte * netBytes[node]!
    for (let group = 0; group < graph.groups; group += 1)
      weights[offset + group]! +=
        perMsBeyond * beyond[group]! - perMs * here[group]! + perWeight * graph.weightBytes[group]!
  }

  /** Being where it must not be costs more than all the rest could save. */
  #weighHoles({ base, weights }: Ladder): void {
    if (this.path.holes.length === 0) return
    const most = 1 + 2 * weights.reduce((sum, weight) => sum + Math.abs(weight), 0)
    for (const [group, place] of this.path.holes) {
      weights[base[place - 1]! + group]! += most
      weights[base[place]! + group]! -= most
    }
  }

  #fix({ base, fixed }: Ladder, { low, high }: Domain): Int8Array {
    fixed.fill(FREE)
    for (let link = 0; link < this.links; link += 1)
      for (let group = 0; group < this.#world.graph.groups; group += 1)
        if (low[group]! > link) fixed[base[link]! + group] = 1
        else if (high[group]! <= link) fixed[base[link]! + group] = 0
    return fixed
  }
}

/** The sum of what a placement comes to. */
export function valueOf(sum: Sum, { compute, weight, bytes }: Totals): number {
  let value = sum.constant
  for (let at = 0; at < compute.length; at += 1)
    value += sum.compute[at]! * compute[at]! + sum.weight[at]! * weight[at]!
  for (let at = 0; at < bytes.length; at += 1) value += sum.bytes[at]! * bytes[at]!
  return value
}
