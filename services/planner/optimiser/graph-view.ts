/**
 * Graph view: each layer on its own place along a path of resources, as long as no tensor goes back. Unlike a cut of
 * the chain, a cut of the graph may pass through parallel branches. Exact for latency.
 *
 * For a path of resources, y[i,l] says that layer i runs beyond link l, a[k,l] that tensor k is needed beyond it, and
 * `end` is a layer of no cost that takes all outputs. With y falling along the path and rising along the edges,
 *
 *   Σ c[i,0] + Σ (c[i,l+1] − c[i,l]) y[i,l] + Σ wire[k,l] (a[k,l] − y[maker of k,l]) + Σ hop[l] y[end,l]
 *
 * is the latency: a closure problem, one minimum cut (min-cut.ts). Paths that skip tiers are tried one by one. A
 * resource must not merely pass tensors on, which no cut can say: where the best cut does so, each layer in turn is
 * put there. In large graphs not all are tried, and the plan says by how much a better one could be faster.
 */
import type { Structure } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { type Chain, compile } from './chain.ts'
import { checkQuery } from './check-query.ts'
import { Closure } from './min-cut.ts'
import { checkProblem, type Problem, sourceOf } from './problem.ts'

export interface GraphProblem extends Problem {
  structure: Problem['structure'] & Pick<Structure, 'inputs' | 'outputs'>
}

export interface GraphQuery {
  source?: string
  /** Layers 0..k-1 run on the source. */
  firstLayersOnDevice?: number
  /** Pairs of layers that must run on the same resource, as those inside a quantisation pattern must. */
  together?: readonly (readonly [number, number])[]
}

export interface GraphPlan {
  /** The resources that tensors pass, the source first even if it runs nothing. */
  path: string[]
  /** Per layer, its place on the path. */
  placement: number[]
  computeMs: number
  transferMs: number
  predictedMs: number
  /** No placement is faster by more than this. 0: it is the best. */
  gapMs: number
}

/** Tensors by what making and needing them costs: a maker of -1 is the graph's input. */
interface Tensor {
  bytes: number
  maker: number
  consumers: number[]
  isOutput: boolean
}

/**
 * The placement of least latency. Clean and allowed cuts are properties of the chain's boundaries and not known here:
 * layers that must not be separated are given as `together`.
 * @throws ScissionError as `optimise` does; notMeasured when nothing can run the model.
 */
export function bestOnGraph(problem: GraphProblem, query: GraphQuery = {}): GraphPlan {
  checkProblem(problem)
  const { source: asked, firstLayersOnDevice } = query
  checkQuery(problem, { objective: 'latency', top: 1, cuts: 'any', source: asked, firstLayersOnDevice })
  const source = sourceOf(problem.resources, query.source)
  const { chain } = compile(problem, source)
  const tensors = tensorsOf(problem.structure)
  const progress: Progress = { best: undefined, missedMs: Infinity, cutsLeft: MOST_CUTS }
  // Short paths first: what they find spares the longer ones most of their work.
  for (const path of [...pathsOf(chain)].sort((a, b) => a.length - b.length))
    new PathSearch(chain, tensors, path, query).improve(progress, [])
  const { best, missedMs } = progress
  if (best === undefined) throw new ScissionError('notMeasured', 'no resource can run the model')
  return { ...best, gapMs: Math.max(0, best.predictedMs - missedMs) }
}

/** Cuts that may be spent on making idle resources work, beyond one per path. */
const MOST_CUTS = 300

interface Progress {
  best: Priced | undefined
  /** What was not looked into takes at least this long. */
  missedMs: number
  cutsLeft: number
}

type Priced = Omit<GraphPlan, 'gapMs'>

/** The latency of a placement, straight from its definition; shares nothing with the cut but the inputs. */
function priceOnGraph(
  chain: Chain,
  tensors: readonly Tensor[],
  path: readonly number[],
  placement: readonly number[],
): Priced {
  const last = Math.max(...placement)
  let transferMs = 0
  for (let link = 0; link < last; link += 1) {
    const pair = path[link]! * chain.resources.length + path[link + 1]!
    const crossing = tensors.filter(
      ({ maker, consumers, isOutput }) =>
        (maker < 0 || placement[maker]! <= link) &&
        (isOutput || consumers.some((consumer) => placement[consumer]! > link)),
    )
    const bytes = crossing.reduce((sum, tensor) => sum + tensor.bytes, 0)
    transferMs += chain.hopMs[pair]! + bytes * chain.hopMsPerByte[pair]!
  }
  const computeMs = placement.reduce((sum, place, layer) => sum + layerMs(chain, path[place]!, layer), 0)
  return {
    path: path.slice(0, last + 1).map((resource) => chain.resources[resource]!.name),
    placement: [...placement],
    computeMs,
    transferMs,
    predictedMs: computeMs + transferMs,
  }
}

function layerMs(chain: Chain, resource: number, layer: number): number {
  const prefix = chain.resources[resource]!.prefixMs
  return prefix === null ? Infinity : prefix[layer + 1]! - prefix[layer]!
}

function tensorsOf(structure: GraphProblem['structure']): Tensor[] {
  const outputs = new Set(structure.outputs.map(({ name }) => name))
  const byName = new Map<string, Tensor>()
  const add = (name: string, bytes: number, maker: number) =>
    byName.set(name, { bytes, maker, consumers: [], isOutput: outputs.has(name) })
  for (const { name, bytes } of structure.inputs) add(name, bytes, -1)
  for (const layer of structure.layers)
    for (const { name, bytes } of layer.outputs) add(name, bytes, layer.index)
  for (const layer of structure.layers)
    for (const name of new Set(layer.inputs)) byName.get(name)?.consumers.push(layer.index)
  return [...byName.values()]
}

/** Every way along links from the source over later and later tiers. */
function* pathsOf(chain: Chain, begun: readonly number[] = [chain.source]): Generator<readonly number[]> {
  yield begun
  const at = begun.at(-1)!
  for (const [to, { rank }] of chain.resources.entries())
    if (rank > chain.resources[at]!.rank && chain.hopMs[at * chain.resources.length + to]! < Infinity)
      yield* pathsOf(chain, [...begun, to])
}

/** Layers pinned to places of the path. */
type Pin = readonly [layer: number, place: number]

class PathSearch {
  readonly #chain: Chain
  readonly #tensors: readonly Tensor[]
  readonly #path: readonly number[]
  readonly #query: GraphQuery
  readonly #closure = new Closure()

  constructor(chain: Chain, tensors: readonly Tensor[], path: readonly number[], query: GraphQuery) {
    this.#chain = chain
    this.#tensors = tensors
    this.#path = path
    this.#query = query
    this.#build()
  }

  /** Takes the best plan along this path that keeps the pins and uses all resources it passes, if it is a better one. */
  improve(progress: Progress, pins: readonly Pin[]): void {
    const placement = this.#solve(pins)
    if (placement === undefined) return
    const plan = priceOnGraph(this.#chain, this.#tensors, this.#path, placement)
    if (!(plan.predictedMs < (progress.best?.predictedMs ?? Infinity))) return
    const last = Math.max(...placement)
    const idle = range(1, last).find((place) => !placement.includes(place))
    if (idle === undefined) {
      progress.best = plan
      return
    }
    for (const layer of this.#nearCutFirst(placement, idle)) {
      if (plan.predictedMs >= (progress.best?.predictedMs ?? Infinity)) return
      if (progress.cutsLeft === 0) {
        progress.missedMs = Math.min(progress.missedMs, plan.predictedMs)
        return
      }
      progress.cutsLeft -= 1
      this.improve(progress, [...pins, [layer, idle]])
    }
  }

  /** Layers in the order in which they are worth moving to `place`: those at the cut there, then the others. */
  #nearCutFirst(placement: readonly number[], place: number): Set<number> {
    const near = this.#tensors.flatMap(({ maker, consumers }) => {
      const above = consumers.filter((consumer) => placement[consumer]! > place)
      const crosses = above.length > 0 && (maker < 0 || placement[maker]! < place)
      return crosses ? [maker, ...above] : []
    })
    return new Set([...near.filter((layer) => layer >= 0), ...range(0, this.#chain.layers)])
  }

  #links(): number {
    return this.#path.length - 1
  }

  /** Number of y[layer, link]; the layer after the last is `end`. */
  #y(layer: number, link: number): number {
    return layer * this.#links() + link
  }

  #build(): void {
    const { layers, resources } = this.#chain
    for (let node = 0; node < (layers + 1) * this.#links(); node += 1) this.#closure.addNode()
    for (let link = 0; link < this.#links(); link += 1) {
      const pair = this.#path[link]! * resources.length + this.#path[link + 1]!
      for (let layer = 0; layer <= layers; layer += 1) {
        if (link > 0) this.#closure.imply(this.#y(layer, link), this.#y(layer, link - 1))
        // Nothing runs beyond a link that `end` is not beyond.
        if (layer < layers) this.#closure.imply(this.#y(layer, link), this.#y(layers, link))
        const here = layer < layers ? layerMs(this.#chain, this.#path[link]!, layer) : 0
        const beyond = layer < layers ? layerMs(this.#chain, this.#path[link + 1]!, layer) : 0
        // A source without a profile runs nothing: its layers are pinned beyond it instead.
        if (here < Infinity) this.#closure.addWeight(this.#y(layer, link), beyond - here)
      }
      this.#closure.addWeight(this.#y(layers, link), this.#chain.hopMs[pair]!)
      for (const tensor of this.#tensors) this.#addTensor(tensor, link, this.#chain.hopMsPerByte[pair]!)
      for (const [a, b] of this.#query.together ?? []) {
        this.#closure.imply(this.#y(a, link), this.#y(b, link))
        this.#closure.imply(this.#y(b, link), this.#y(a, link))
      }
    }
  }

  /** wire · (a − y[maker]); the one consumer, or `end` for an output, stands for a. */
  #addTensor({ bytes, maker, consumers, isOutput }: Tensor, link: number, msPerByte: number): void {
    const closure = this.#closure
    if (maker >= 0)
      for (const consumer of consumers) closure.imply(this.#y(maker, link), this.#y(consumer, link))
    if (!isOutput && consumers.length === 0) return
    let needed = this.#y(isOutput ? this.#chain.layers : consumers[0]!, link)
    if (!isOutput && consumers.length > 1) {
      needed = closure.addNode()
      for (const consumer of consumers) closure.imply(this.#y(consumer, link), needed)
      if (maker >= 0) closure.imply(this.#y(maker, link), needed)
    }
    closure.addWeight(needed, bytes * msPerByte)
    if (maker >= 0) closure.addWeight(this.#y(maker, link), -bytes * msPerByte)
  }

  /** Per layer its place; undefined when the pins contradict each other or the edges. */
  #solve(pins: readonly Pin[]): number[] | undefined {
    const { layers, resources, source } = this.#chain
    const chosen: number[] = []
    const excluded: number[] = []
    const onSource = range(0, this.#query.firstLayersOnDevice ?? 0).map((layer): Pin => [layer, 0])
    for (const [layer, place] of [...onSource, ...pins]) {
      if (place > 0) chosen.push(this.#y(layer, place - 1))
      if (place < this.#links()) excluded.push(this.#y(layer, place))
    }
    const sourceRuns = resources[source]!.prefixMs !== null
    if (!sourceRuns && this.#links() === 0) return undefined
    if (!sourceRuns) for (const layer of range(0, layers)) chosen.push(this.#y(layer, 0))
    const inSet = this.#closure.solve(chosen, excluded)
    if (inSet === undefined) return undefined
    return range(0, layers).map((layer) => {
      let place = 0
      while (place < this.#links() && inSet[this.#y(layer, place)] === 1) place += 1
      return place
    })
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index)
}
