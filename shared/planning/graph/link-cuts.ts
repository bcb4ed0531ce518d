/** Cuts of one link of a route by itself, with the costs of the middle stops lowered or as they are. */
import { type LoweredCosts, loweredCostsOf } from './convex-costs.ts'
import type { GraphInstance, LinkCut } from './graph-instance.ts'
import type { LinearForm } from './linear-forms.ts'
import { FREE } from './min-cut/closure-graph.ts'
import type { Domain } from './placement.ts'
import type { GraphRoute } from './routes.ts'
import { type StackedClosure, stackedClosureOf, weigh } from './stacked-closure.ts'

/** Known of one link's cut: the groups that a best one may have beyond the link, and the value that is high enough. */
interface KnownOfCut {
  within: Uint8Array | undefined
  enough: number
}

const NOTHING_KNOWN: KnownOfCut = { within: undefined, enough: Infinity }

export class LinkCuts {
  readonly #instance: GraphInstance
  readonly #route: GraphRoute
  /** Lowered costs of the objective, the same in every domain. */
  #lowered: LoweredCosts | undefined

  constructor(instance: GraphInstance, route: GraphRoute) {
    this.#instance = instance
    this.#route = route
  }

  /** The costs of the middle stops, lowered until the cuts of a form are nested. */
  loweredFor(form: LinearForm): LoweredCosts {
    if (form !== this.#route.objective) return loweredCostsOf(this.#instance, this.#route, form)
    this.#lowered ??= loweredCostsOf(this.#instance, this.#route, form)
    return this.#lowered
  }

  /**
   * The best cut of one link by itself. Cuts that other routes have in common are kept.
   * @param lowered costs of the middle stops; empty: as they are.
   * @returns undefined if there is none; `enough` if its value is at least that.
   */
  cutOf(form: LinearForm, domain: Domain, link: number, lowered: LoweredCosts): LinkCut | undefined
  cutOf(
    form: LinearForm,
    domain: Domain,
    link: number,
    lowered: LoweredCosts,
    known: KnownOfCut,
  ): LinkCut | 'enough' | undefined
  cutOf(
    form: LinearForm,
    domain: Domain,
    link: number,
    lowered: LoweredCosts,
    of: KnownOfCut = NOTHING_KNOWN,
  ): LinkCut | 'enough' | undefined {
    const isUnchanged = lowered[link] === undefined && lowered[link + 1] === undefined
    const key = isUnchanged ? this.#keyOf(form, domain, link) : undefined
    const known = key === undefined ? undefined : this.#instance.cuts.get(key)
    if (known) return known
    const cut = this.#cut(form, domain, link, lowered, of)
    if (key !== undefined && cut !== undefined && cut !== 'enough') this.#instance.cuts.set(key, cut)
    return cut
  }

  /**
   * Per node the increase of the objective if it is forced beyond the link (`in`) or not beyond it (`out`), in the route's
   * own domain.
   * @param cut the best one of the link, with lowered costs. @param max increases from here on need not be distinguished.
   */
  costsOfMoving(link: number, way: 'in' | 'out', cut: LinkCut, max: number): Float64Array {
    const { objective } = this.#route
    const closure = this.#weighLink(objective, this.#route, link, this.loweredFor(objective))
    const { solver, weights, fixed } = closure
    return solver.costsOfMoving(way, { weights, fixed, inSet: cut.beyond, max })
  }

  /** Per link a floor without any cut: every group goes where it is cheaper, and no tensor crosses. */
  floors(form: LinearForm, lowered: LoweredCosts): Float64Array {
    const { graph } = this.#instance
    return Float64Array.from(form.bytes, (perByte, link) => {
      const { weights } = this.#weighLink(form, this.#route, link, lowered)
      let floor = 0
      for (let group = 0; group < graph.groups; group += 1) {
        const own = weights[group]! - perByte * graph.netBytes[group]!
        if (own < 0) floor += own
      }
      return floor
    })
  }

  /** Whether a domain is the route's own. */
  isWhole({ low, high }: Domain): boolean {
    return low === this.#route.low && high === this.#route.high
  }

  #cut(
    form: LinearForm,
    domain: Domain,
    link: number,
    lowered: LoweredCosts,
    { within, enough }: KnownOfCut,
  ): LinkCut | 'enough' | undefined {
    const { graph } = this.#instance
    const { solver, weights, fixed } = this.#weighLink(form, domain, link, lowered, within)
    let value = form.bytes[link]! * graph.alwaysBytes
    const inSet = solver.solve(weights, fixed, enough - value)
    if (inSet === undefined || inSet === 'enough') return inSet
    for (let node = 0; node < graph.nodes; node += 1) if (inSet[node] === 1) value += weights[node]!
    return { beyond: inSet.slice(), value }
  }

  /** Weights and fixed nodes for the cut of one link by itself. */
  #weighLink(
    form: LinearForm,
    { low, high }: Domain,
    link: number,
    lowered: LoweredCosts,
    within?: Uint8Array,
  ): StackedClosure {
    const { graph } = this.#instance
    const stack = stackedClosureOf(graph, 1)
    const { weights, fixed } = stack
    weigh(this.#instance, this.#route, form, link, weights, 0)
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
    const { runners, sourceRuns, isPlain } = this.#route
    if (!isPlain || form !== this.#route.objective || !this.isWhole(domain)) return undefined
    return `${runners[link]} ${runners[link + 1]} ${link === 0 && sourceRuns === false}`
  }
}
