/**
 * Best first over all paths: each path's relaxation is one minimum cut (graph-path.ts), and what a cut cannot say is
 * branched on. Two things it cannot say:
 *
 * - a limit on a sum (graph-bound.ts): a layer is put on this or that side of a link;
 * - a place must hold a layer, tensors are not merely passed on there: the layers it may hold are halved until a cut
 *   uses the place (graph-spans.ts).
 *
 * A domain whose bound is not below the plans found is dropped, so what is returned is the best, and when the search is
 * stopped the least open bound says how far from the best it may be.
 */
import { boundOf, jointBound, keeps, relaxedBound, type Solved } from './lagrangian-bound.ts'
import { type Domain, PathModel, valueOf } from './closure-problem.ts'
import type { Path } from './routes.ts'
import { narrow, type Span } from './spans.ts'
import type { World } from './graph-instance.ts'
import { isExcluded } from './graph-excluded.ts'
import type { Incumbent } from './graph-incumbent.ts'
import { Heap } from '../chain/heap.ts'

export interface Found {
  path: Path
  solved: Solved
}

export interface SearchOptions {
  /** The first plan found will do. */
  isAnyEnough?: boolean
  /** Plans above this value are of no use. */
  most?: number | undefined
  /** A plan to begin with; not taken when it does not keep the limits. */
  incumbent?: Incumbent | undefined
  /** How many plans, each on other places. */
  top: number
  /** True when the search must stop. */
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
  path: PathSearch
  prices: Float64Array
  /** The links by themselves did not settle it. */
  isJoint: boolean
  /** What each link adds at least (graph-path.ts). */
  floors: Float64Array | undefined
  /** A place must hold one of these; its domain is narrowed when the node's turn comes. */
  span: Span | undefined
}

interface PathSearch {
  model: PathModel
  best: Solved | undefined
  /** Per place, when it was asked for: a bound per group that the place holds. */
  bounds: Map<number, Float64Array>
}

export function searchGraph(world: World, paths: readonly Path[], limits: SearchOptions): SearchResult {
  return new GraphSearch(world, paths, limits).run()
}

/** A bound this much below a plan's value is rounding. */
const ROUNDING = 1e-10

class GraphSearch {
  readonly #world: World
  readonly #limits: SearchOptions
  readonly #searches: PathSearch[]
  readonly #nodes = new Heap<Node>((a, b) => a.bound < b.bound)
  #cutoff: number
  #steps = 0

  constructor(world: World, paths: readonly Path[], limits: SearchOptions) {
    this.#world = world
    this.#limits = limits
    this.#cutoff = limits.most ?? Infinity
    this.#searches = paths.map((path) => ({
      model: new PathModel(world, path),
      best: undefined,
      bounds: new Map(),
    }))
    if (limits.incumbent) this.#beginWith(limits.incumbent)
  }

  run(): SearchResult {
    // Short ways first: what they find spares the longer ones most of their work.
    let bound = Infinity
    const inOrder = this.#searches
      .map((search) => ({ search, least: search.model.leastValue() }))
      .sort((a, b) => a.search.model.links - b.search.model.links || a.least - b.least)
    for (const { search, least } of inOrder)
      if (this.#isOver()) bound = -Infinity
      else if (!this.#isPointless(least, search)) this.#begin(search)
    for (let node = this.#nodes.pop(); node !== undefined; node = this.#nodes.pop()) {
      if (this.#isPointless(node.bound, node.path)) continue
      if (this.#isOver()) {
        bound = Math.min(bound, node.bound)
        break
      }
      this.#steps += 1
      this.#open(node)
    }
    const found = this.#searches
      .flatMap(({ model, best }) => (best ? [{ path: model.path, solved: best }] : []))
      .sort((a, b) => a.solved.value - b.solved.value)
      .slice(0, this.#limits.top)
    return { found, bound }
  }

  #isOver(): boolean {
    const { isAnyEnough, isOver } = this.#limits
    return isOver(this.#steps) || (isAnyEnough === true && this.#searches.some(({ best }) => best))
  }

  #beginWith({ path, placement }: Incumbent): void {
    const search = this.#searches.find(({ model }) => model.path === path)
    if (search === undefined) return
    const totals = search.model.totals(placement)
    const kept = path.budgets.every((budget) => keeps(budget, totals))
    if (kept) this.#offer(search, { placement, totals, value: valueOf(path.objective, totals) })
  }

  #begin(path: PathSearch): void {
    const { low, high, budgets } = path.model.path
    const prices = new Float64Array(budgets.length)
    this.#steps += 1
    this.#open({
      bound: -Infinity,
      path,
      low,
      high,
      prices,
      isJoint: false,
      span: undefined,
      floors: undefined,
    })
  }

  /** Neither better than what its own path has nor good enough for the list. */
  #isPointless(bound: number, { best }: PathSearch): boolean {
    const own = best?.value ?? Infinity
    const most = Math.min(own, this.#cutoff)
    if (bound === Infinity) return true
    return most < Infinity && bound >= most - Math.abs(most) * ROUNDING
  }

  #open(node: Node): void {
    const domain = node.span ? narrow(this.#world.graph, node, node.span) : node
    if (domain === undefined) return
    if (node.path.model.path.budgets.length > 0) this.#openWithLimits(node, domain)
    else this.#openFree(node, domain)
  }

  /** Links by themselves first; the joint cut when the node's turn comes again, which for most it never does. */
  #openFree(node: Node, domain: Domain): void {
    const { model } = node.path
    const found = (solved: Solved) => this.#offer(node.path, solved)
    const goal = { floors: node.floors, cutoff: Math.min(this.#cutoff, node.path.best?.value ?? Infinity) }
    const bound = node.isJoint
      ? jointBound(model, domain, found, node.floors)
      : relaxedBound(model, domain, goal, found)
    if (bound === undefined) return
    const value = Math.max(bound.value, node.bound)
    if (this.#isPointless(value, node.path)) return
    if (bound.at === undefined) {
      this.#nodes.push({ ...node, bound: value, isJoint: true, floors: bound.floors })
      return
    }
    const idle = idlePlace(model, bound.at)
    const { low, high } = domain
    const child = { ...node, low, high, bound: value, isJoint: false, floors: bound.floors }
    if (idle !== undefined) this.#fill(child, idle, node.span)
  }

  #openWithLimits(node: Node, domain: Domain): void {
    const { model } = node.path
    const cutoff = Math.min(this.#cutoff, node.path.best?.value ?? Infinity)
    const bound = boundOf(model, domain, node.prices, cutoff, (solved) => this.#offer(node.path, solved))
    if (bound === undefined) return
    const value = Math.max(bound.value, node.bound)
    if (this.#isPointless(value, node.path)) return
    const { low, high } = domain
    const child = { ...node, low, high, bound: value, prices: bound.prices, span: undefined }
    const isFree = bound.prices.every((price) => price === 0)
    // One that keeps the limits is the best here, but with prices on them something else may be better.
    if (bound.fits && isFree && isWhole(model, bound.at)) return
    if (!bound.fits && isExcluded(model, domain, bound)) return
    const idle = bound.fits ? idlePlace(model, bound.at) : undefined
    if (idle !== undefined) this.#fill(child, idle, node.span)
    else this.#split(child, bound.at)
  }

  /** A plan, if all its places hold something and its memory suffices. */
  #offer(search: PathSearch, solved: Solved): void {
    if (!isWhole(search.model, solved)) return
    if (solved.value > (this.#limits.most ?? Infinity)) return
    if (search.best !== undefined && search.best.value <= solved.value) return
    search.best = solved
    const values = this.#searches.flatMap(({ best }) => (best ? [best.value] : [])).sort((a, b) => a - b)
    this.#cutoff = Math.min(this.#limits.most ?? Infinity, values[this.#limits.top - 1] ?? Infinity)
  }

  /** Two nodes: what the place holds is of the first or of the second half of the span, or of what is worth trying of it. */
  #fill(node: Node, place: number, whole: Span | undefined): void {
    const bounds = this.#boundsAt(node.path, place)
    const isOpen = (group: number) => bounds === undefined || !this.#isPointless(bounds[group]!, node.path)
    let { from, to } = whole?.place === place ? whole : { from: 0, to: node.low.length }
    while (from < to && !isOpen(from)) from += 1
    while (from < to && !isOpen(to - 1)) to -= 1
    if (from === to) return
    const middle = (from + to) >> 1
    const halves =
      to - from === 1
        ? [[from, to]]
        : [
            [from, middle],
            [middle, to],
          ]
    for (const [begin, end] of halves) {
      const bound = Math.max(node.bound, bounds ? leastOf(bounds, begin!, end!) : -Infinity)
      if (!this.#isPointless(bound, node.path))
        this.#nodes.push({ ...node, bound, span: { place, from: begin!, to: end! } })
    }
  }

  /** Worth their making only where no sum has a limit: there the links' own bound is all that is looked at. */
  #boundsAt(search: PathSearch, place: number): Float64Array | undefined {
    const cutoff = Math.min(this.#cutoff, search.best?.value ?? Infinity)
    if (search.model.path.budgets.length > 0 || cutoff === Infinity) return undefined
    const known = search.bounds.get(place)
    if (known) return known
    const made = search.model.boundsAt(place, cutoff)
    search.bounds.set(place, made)
    return made
  }

  /** Two nodes: a layer before or behind a link. */
  #split(node: Node, at: Solved): void {
    const group = groupToSplit(node, at)
    if (group < 0) return
    const place = at.placement[group]!
    const last = place < node.high[group]! ? place : place - 1
    const high = node.high.slice()
    high[group] = last
    const low = node.low.slice()
    low[group] = last + 1
    this.#nodes.push({ ...node, high })
    this.#nodes.push({ ...node, low })
  }
}

function leastOf(bounds: Float64Array, from: number, to: number): number {
  let least = Infinity
  for (let group = from; group < to; group += 1) least = Math.min(least, bounds[group]!)
  return least
}

/** The first place that must hold a layer and holds none. */
function idlePlace(model: PathModel, { placement }: Solved): number | undefined {
  for (let place = model.path.sourceRuns === true ? 0 : 1; place <= model.links; place += 1)
    if (!placement.includes(place)) return place
  return undefined
}

function isWhole(model: PathModel, solved: Solved): boolean {
  return idlePlace(model, solved) === undefined && tooSmall(model, solved) === undefined
}

/** A place whose memory does not hold its weights and activations. */
function tooSmall(model: PathModel, { placement, totals }: Solved): number | undefined {
  const place = model.path.memory.findIndex(
    (limit, at) => limit < Infinity && totals.weight[at]! + model.activationBytes(placement, at) > limit,
  )
  return place < 0 ? undefined : place
}

/** The free group that weighs most in what is too much, or in the objective; -1 when all are fixed. */
function groupToSplit({ path: { model }, low, high }: Node, { placement, totals }: Solved): number {
  const passed = model.path.budgets.filter((budget) => !keeps(budget, totals))
  let best = -1
  let most = -Infinity
  placement.forEach((place, group) => {
    if (low[group] === high[group]) return
    const weight = model.weightIn(passed, group, place)
    if (weight > most) {
      most = weight
      best = group
    }
  })
  return best
}
