/** Cuts of all links of a route together: exact where the cuts of single links are not nested, and dearer. */
import type { GraphInstance } from './graph-instance.ts'
import type { LinearForm } from './linear-forms.ts'
import type { LinkCuts } from './link-cuts.ts'
import { FREE } from './min-cut/closure-graph.ts'
import { type Domain, isBanned, type Placement } from './placement.ts'
import type { GraphRoute } from './routes.ts'
import { baseOf, type StackedClosure, stackedClosureOf, weigh } from './stacked-closure.ts'

/** Best cuts of the first and of the last link by themselves: 1 for nodes beyond. */
interface OuterCuts {
  first: Uint8Array | undefined
  last: Uint8Array | undefined
}

export class JointCuts {
  readonly #instance: GraphInstance
  readonly #route: GraphRoute
  readonly #links: number
  readonly #linkCuts: LinkCuts
  /** Of the objective in the route's own domain, once computed. */
  #outer: OuterCuts | undefined

  /** @param linkCuts of the same route. */
  constructor(instance: GraphInstance, route: GraphRoute, linkCuts: LinkCuts) {
    this.#instance = instance
    this.#route = route
    this.#links = route.runners.length - 1
    this.#linkCuts = linkCuts
  }

  /** A placement of the domain that minimises the form; undefined if there is none. */
  solve(form: LinearForm, whole: Domain): Placement | undefined {
    const { graph } = this.#instance
    const domain = this.#narrowed(form, whole)
    const stack = this.#weighLinks(form, domain)
    const inSet = stack.solver.solve(stack.weights, stack.fixed)
    if (inSet === undefined) return undefined
    const placement = new Uint8Array(graph.groups)
    for (let group = 0; group < graph.groups; group += 1) {
      let stop = domain.low[group]!
      while (stop < domain.high[group]! && inSet[stack.base[stop]! + group] === 1) stop += 1
      placement[group] = stop
    }
    return isBanned(this.#route, placement) ? undefined : placement
  }

  /**
   * Raises the bounds of a middle stop by what it costs to force a group beyond the link before the stop, or not beyond the
   * link after it.
   * @param bounds per group, on the objective of all plans of the route that have it at the stop.
   * @param cutoff bounds from here on need not be distinguished.
   */
  raiseBoundsAt(stop: number, bounds: Float64Array, cutoff: number): void {
    const { objective } = this.#route
    const { graph } = this.#instance
    const domain = this.#narrowed(objective, this.#route)
    const { solver, base, weights, fixed } = this.#weighLinks(objective, domain)
    const inSet = solver.solve(weights, fixed)?.slice()
    if (inSet === undefined) return
    let minimum = baseOf(this.#instance, this.#route, objective)
    for (let node = 0; node < weights.length; node += 1) if (inSet[node] === 1) minimum += weights[node]!
    for (let link = 0; link < this.#links; link += 1) minimum += objective.bytes[link]! * graph.alwaysBytes
    const raise = (link: number, way: 'in' | 'out') => {
      const begin = base[link]!
      const end = begin + graph.groups
      const costs = solver.costsOfMoving(way, { weights, fixed, inSet, max: cutoff - minimum, begin, end })
      for (let group = 0; group < bounds.length; group += 1)
        bounds[group] = Math.max(bounds[group]!, minimum + costs[begin + group]!)
    }
    raise(stop - 1, 'in')
    raise(stop, 'out')
  }

  /**
   * The domain without placements that single cuts rule out: of the first link from below, of the last from above. Cuts of
   * the route's own domain do so in all its subdomains that force nothing to the other side of these two cuts: a best cut
   * of a sum stays one if the union with the first (the intersection with the last) is allowed (submodularity).
   */
  #narrowed(form: LinearForm, domain: Domain): Domain {
    if (this.#route.holes.length > 0 || this.#links === 1) return domain
    const own = form === this.#route.objective ? this.#outerCutsOfRoute() : undefined
    const outer = own && agree(own, domain, this.#links) ? own : this.#outerCuts(form, domain)
    const low = domain.low.slice()
    const high = domain.high.slice()
    for (let group = 0; group < low.length; group += 1) {
      if (outer.first?.[group] === 1 && low[group] === 0) low[group] = 1
      if (outer.last?.[group] === 0 && high[group] === this.#links) high[group] = this.#links - 1
    }
    return { low, high }
  }

  #outerCutsOfRoute(): OuterCuts {
    this.#outer ??= this.#outerCuts(this.#route.objective, this.#route)
    return this.#outer
  }

  #outerCuts(form: LinearForm, domain: Domain): OuterCuts {
    return {
      first: this.#linkCuts.cutOf(form, domain, 0, [])?.beyond,
      last: this.#linkCuts.cutOf(form, domain, this.#links - 1, [])?.beyond,
    }
  }

  /** Weights and fixed nodes for the cut of all links together. */
  #weighLinks(form: LinearForm, domain: Domain): StackedClosure {
    const stack = stackedClosureOf(this.#instance.graph, this.#links)
    for (let link = 0; link < this.#links; link += 1)
      weigh(this.#instance, this.#route, form, link, stack.weights, stack.base[link]!)
    this.#weighHoles(stack)
    this.#fix(stack, domain)
    return stack
  }

  /** Makes a banned stop cost more than everything else could save. */
  #weighHoles({ base, weights }: StackedClosure): void {
    const { holes } = this.#route
    if (holes.length === 0) return
    const penalty = 1 + 2 * weights.reduce((total, weight) => total + Math.abs(weight), 0)
    for (const [group, stop] of holes) {
      weights[base[stop - 1]! + group]! += penalty
      weights[base[stop]! + group]! -= penalty
    }
  }

  #fix({ base, fixed }: StackedClosure, { low, high }: Domain): void {
    fixed.fill(FREE)
    for (let link = 0; link < this.#links; link += 1)
      for (let group = 0; group < this.#instance.graph.groups; group += 1)
        if (low[group]! > link) fixed[base[link]! + group] = 1
        else if (high[group]! <= link) fixed[base[link]! + group] = 0
  }
}

/** Whether a domain forces no group that is beyond the first link to its near side, and none before the last link beyond it. */
function agree({ first, last }: OuterCuts, { low, high }: Domain, links: number): boolean {
  for (let group = 0; group < low.length; group += 1) {
    if (first?.[group] === 1 && high[group] === 0) return false
    if (last?.[group] === 0 && low[group] === links) return false
  }
  return true
}
