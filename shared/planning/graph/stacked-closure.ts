/**
 * A route as closure problems. y[g,l] says that group g runs beyond link l, a[n,l] that the tensors of node n are needed
 * beyond it. With U[s][g] the cost of group g at stop s, and y falling along the route and rising along the edges,
 *
 *   Σ U[0][g] + Σ (U[l+1][g] − U[l][g]) y[g,l] + Σ bytes[t,l] (a[t,l] − y[maker of t,l]) + constant
 *
 * is any linear form of a placement (linear-forms.ts): latency, energy, price and the side constraints alike.
 */
import type { CompiledGraph } from './compile-graph.ts'
import type { GraphInstance } from './graph-instance.ts'
import type { LinearForm } from './linear-forms.ts'
import { FREE } from './min-cut/closure-graph.ts'
import { ClosureSolver } from './min-cut/closure-solver.ts'
import type { GraphRoute } from './routes.ts'

/** One copy of the graph per link: the closure graph of routes with that many links. */
export interface StackedClosure {
  solver: ClosureSolver
  /** Node n at link l has number `base[l] + n`. Later links come first, so that implications lead to higher numbers. */
  base: number[]
  weights: Float64Array
  fixed: Int8Array
}

const stacks = new WeakMap<CompiledGraph, Map<number, StackedClosure>>()

/** The same object for the same graph and number of links: its arrays are written over by whoever asks next. */
export function stackedClosureOf(graph: CompiledGraph, links: number): StackedClosure {
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

/** Writes what each node beyond a link adds to the form, from `offset` on. */
export function weigh(
  { graph, runners }: GraphInstance,
  route: GraphRoute,
  form: LinearForm,
  link: number,
  weights: Float64Array,
  offset: number,
): void {
  const here = runners[route.runners[link]!]!.ms
  const beyond = runners[route.runners[link + 1]!]!.ms
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

/** The part of the form that no cut changes: everything at the first stop. Bytes that always cross are in the links. */
export function baseOf({ graph, runners }: GraphInstance, route: GraphRoute, form: LinearForm): number {
  const { ms } = runners[route.runners[0]!]!
  let base = form.constant
  for (let group = 0; group < graph.groups; group += 1)
    base += form.compute[0]! * ms[group]! + form.weight[0]! * graph.weightBytes[group]!
  return base
}
