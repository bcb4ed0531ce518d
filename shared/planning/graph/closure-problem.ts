/**
 * The best placements of a route, and bounds on them. Each link is cut by itself first (link-cuts.ts), with the costs of the
 * middle stops lowered until the cuts are nested; all links are cut together (joint-cuts.ts) where that leaves a gap.
 */
import { isExact, isNested } from './convex-costs.ts'
import type { GraphInstance, LinkCut } from './graph-instance.ts'
import { JointCuts } from './joint-cuts.ts'
import type { LinearForm } from './linear-forms.ts'
import { LinkCuts } from './link-cuts.ts'
import { type Domain, isBanned, type Placement } from './placement.ts'
import type { GraphRoute } from './routes.ts'
import { baseOf } from './stacked-closure.ts'

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

export class ClosureProblem {
  readonly instance: GraphInstance
  readonly route: GraphRoute
  readonly links: number
  readonly #linkCuts: LinkCuts
  readonly #jointCuts: JointCuts
  /** Link cuts of the objective in the route's own domain, once computed. */
  #routeCuts: LinkCut[] | undefined

  constructor(instance: GraphInstance, route: GraphRoute) {
    this.instance = instance
    this.route = route
    this.links = route.runners.length - 1
    this.#linkCuts = new LinkCuts(instance, route)
    this.#jointCuts = new JointCuts(instance, route, this.#linkCuts)
  }

  /** A placement of the domain that minimises the form; undefined if there is none. */
  solve(form: LinearForm, domain: Domain): Placement | undefined {
    const relaxed = this.relax(form, domain)
    return relaxed && (relaxed.placement ?? this.solveJointly(form, domain))
  }

  /** The same by one cut of all links together. */
  solveJointly(form: LinearForm, domain: Domain): Placement | undefined {
    return this.#jointCuts.solve(form, domain)
  }

  /**
   * A bound by cutting each link by itself, with the costs of the middle stops lowered until the cuts are nested. It is
   * attained if no group of the nested placement is at a stop where its cost was lowered.
   * @returns undefined if the domain has no placement.
   */
  relax(form: LinearForm, domain: Domain, known = NOTHING_KNOWN): Relaxation | undefined {
    const base = this.#baseOf(form)
    if (this.links === 0) return this.#withoutLinks(domain, base, known)
    const lowered = this.#linkCuts.loweredFor(form)
    const cuts: LinkCut[] = []
    const floors = known.floors ?? this.#linkCuts.floors(form, lowered)
    let bound = floors.reduce((total, floor) => total + floor, base)
    for (let link = 0; link < this.links; link += 1) {
      const before = link > 0 && isNested(form, link) ? cuts[link - 1]!.beyond : undefined
      const enough = known.cutoff - bound + floors[link]!
      const cut = this.#linkCuts.cutOf(form, domain, link, lowered, { within: before, enough })
      if (cut === undefined) return undefined
      if (cut === 'enough') return { bound: known.cutoff, placement: undefined, candidate: undefined, floors }
      cuts.push(cut)
      bound += cut.value - floors[link]!
      if (bound >= known.cutoff) return { bound, placement: undefined, candidate: undefined, floors }
    }
    bound = cuts.reduce((total, { value }) => total + value, base)
    if (form === this.route.objective && this.#linkCuts.isWhole(domain)) this.#routeCuts = cuts
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
    const bounds = new Float64Array(groups)
    if (this.#routeCuts === undefined) this.relax(objective, this.route)
    const cuts = this.#routeCuts
    if (cuts === undefined) return bounds.fill(Infinity)
    const minimum = cuts.reduce((total, { value }) => total + value, this.#baseOf(objective))
    const add = (link: number, way: 'in' | 'out') => {
      const costs = this.#linkCuts.costsOfMoving(link, way, cuts[link]!, cutoff - minimum)
      for (let group = 0; group < groups; group += 1) bounds[group]! += costs[group]!
    }
    if (stop > 0) add(stop - 1, 'in')
    if (stop < this.links) add(stop, 'out')
    const loweredHere = this.#linkCuts.loweredFor(objective)[stop]
    for (let group = 0; group < groups; group += 1) {
      const isOut = stop < low[group]! || stop > high[group]!
      bounds[group] = isOut ? Infinity : bounds[group]! + minimum + (loweredHere?.[group] ?? 0)
    }
    return bounds
  }

  /** Raises the bounds of a middle stop by cutting all links together: more exact where its costs were lowered. */
  raiseBoundsAt(stop: number, bounds: Float64Array, cutoff: number): void {
    const { objective, holes } = this.route
    if (holes.length > 0 || this.#linkCuts.loweredFor(objective)[stop] === undefined) return
    this.#jointCuts.raiseBoundsAt(stop, bounds, cutoff)
  }

  /** Everything is at the source, if the domain allows that. */
  #withoutLinks(domain: Domain, bound: number, { floors }: KnownBounds): Relaxation | undefined {
    if (!domain.low.every((stop) => stop === 0)) return undefined
    const placement = new Uint8Array(this.instance.graph.groups)
    return { bound, placement, candidate: placement, floors }
  }

  #baseOf(form: LinearForm): number {
    return baseOf(this.instance, this.route, form)
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
    return isBanned(this.route, placement) ? undefined : placement
  }
}
