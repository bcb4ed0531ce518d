/**
 * Everything of a problem and a query that the graph view computes with, as numbers: places (a resource with one of
 * its sets of runtime options), what each group of layers costs there, and what crossing from place to place costs.
 *
 * A stage of a graph plan is charged the sum of its layers' times, times slowdown. What a stage costs more because it
 * begins or ends at a boundary (a profile's enterMs and exitMs) is measured for boundaries of the chain only, and is
 * not charged here: no boundary is where a stage begins that takes one branch and leaves the other.
 */
import type { LinkCut } from './closure-problem.ts'
import { linkFigures, stageBound } from '../problem/confidence.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import { type CompiledGraph, compileGraph, type GraphStructure } from './compile-graph.ts'
import {
  FIGURES,
  type Figures,
  ownOptions,
  type PlanningProfile,
  type PlanningResource,
  type Problem,
  profilesOf,
} from '../problem/problem.ts'
import { sameOptions } from '../problem/options.ts'

export interface GraphProblem extends Problem {
  structure: GraphStructure
}

export interface GraphQuery extends OptimiserQuery {
  /** Pairs of layers that must run on the same resource. */
  together?: readonly (readonly [number, number])[]
}

export interface Place {
  resource: PlanningResource
  /** Undefined on a source that cannot run the model. */
  profile: PlanningProfile | undefined
  /** True when the profile is of other runtime options than the resource's own. */
  chosenOptions: boolean
  /** Per group, at the query's confidence. */
  ms: Float64Array
  /** Per stage, whatever it holds. */
  fixedMs: number
}

/** A crossing takes fixedMs, there and back, and msPerByte for the request. */
export interface Crossing {
  fixedMs: number
  /** The part of fixedMs that counts as the sender's own sending. */
  sendFixedMs: number
  msPerByte: number
}

export interface World {
  graph: CompiledGraph
  problem: GraphProblem
  query: GraphQuery
  places: Place[]
  /** Indices of the source's places. */
  starts: number[]
  /** Layers that privacy keeps on the source. */
  onSource: number
  figures: Figures
  /** `[from][to]`, undefined where no link is or the tier is not later. */
  crossings: (Crossing | undefined)[][]
  /** Cuts of single links that several paths share (graph-path.ts). */
  cuts: Map<string, LinkCut>
}

/** Watts and prices: a query's own go before the problem's, field by field. */
export function figuresFor(
  problem: Pick<Problem, 'figures'>,
  query: Pick<GraphQuery, keyof Figures>,
): Figures {
  return Object.fromEntries(FIGURES.map((field) => [field, query[field] ?? problem.figures?.[field]]))
}

/** ms that one byte takes at 1 Mbps: 8 bits / (10^6 bit/s) = 0.008 ms. */
const MS_PER_BYTE_AT_1_MBPS = 0.008

/** @param source one of the problem's resources. */
export function worldOf(problem: GraphProblem, query: GraphQuery, source: string): World {
  const graph = compileGraph(problem.structure, query.cuts, query.together)
  const start = problem.resources.find(({ name }) => name === source)
  const later = problem.resources
    .filter(({ tierIndex }) => tierIndex > (start?.tierIndex ?? Infinity))
    .sort((a, b) => a.tierIndex - b.tierIndex || (a.name < b.name ? -1 : 1))
  const of = (resource: PlanningResource) =>
    profilesOf(problem, resource).map((profile) => placeOf(problem, query, graph, resource, profile))
  const own = start ? of(start) : []
  if (start && own.length === 0) own.push(placeOf(problem, query, graph, start, undefined))
  const places = [...own, ...later.flatMap(of)]
  return {
    graph,
    problem,
    query,
    places,
    starts: own.map((_, index) => index),
    onSource: firstLayers(problem, query),
    figures: figuresFor(problem, query),
    crossings: crossingsOf(problem, query, places),
    cuts: new Map(),
  }
}

export function sourceIn({ places, starts }: World): string {
  return places[starts[0]!]!.resource.name
}

/** The same machines and links under other demands: what does not depend on them is not worked out again. */
export function askedAgain(world: World, query: GraphQuery): World {
  const { problem, query: before } = world
  const isSame =
    query.cuts === before.cuts && (query.confidence ?? 'median') === (before.confidence ?? 'median')
  if (!isSame) return worldOf(problem, query, sourceIn(world))
  const onSource = firstLayers(problem, query)
  return { ...world, query, onSource, cuts: onSource === world.onSource ? world.cuts : new Map() }
}

/** Those asked for, and the maker of the named tensor with all before it. */
function firstLayers(
  { structure }: GraphProblem,
  { firstLayersOnDevice = 0, tensorOnDevice }: GraphQuery,
): number {
  if (tensorOnDevice === undefined) return firstLayersOnDevice
  const maker = structure.layers.findIndex(({ outputs }) =>
    outputs.some(({ name }) => name === tensorOnDevice),
  )
  return Math.max(firstLayersOnDevice, maker + 1)
}

function placeOf(
  problem: GraphProblem,
  query: GraphQuery,
  graph: CompiledGraph,
  resource: PlanningResource,
  profile: PlanningProfile | undefined,
): Place {
  const confidence = query.confidence ?? 'median'
  const bound = profile ? stageBound(profile, confidence) : { factor: 1, fixedMs: 0 }
  const factor = resource.slowdown * bound.factor
  const ms = new Float64Array(graph.groups)
  profile?.layerMs.forEach((layerMs, layer) => {
    ms[graph.groupOf[layer]!]! += layerMs * factor
  })
  const chosenOptions =
    profile?.options !== undefined && !sameOptions(profile.options, ownOptions(problem, resource))
  return { resource, profile, chosenOptions, ms, fixedMs: bound.fixedMs * resource.slowdown }
}

function crossingsOf(problem: GraphProblem, query: GraphQuery, places: readonly Place[]): World['crossings'] {
  const answerBytes = problem.structure.outputs.reduce((sum, { bytes }) => sum + bytes, 0)
  const links = new Map(problem.links.map((link) => [`${link.from} ${link.to}`, link]))
  return places.map(({ resource: from }) =>
    places.map(({ resource: to }) => {
      const link = links.get(`${from.name} ${to.name}`)
      if (link === undefined || to.tierIndex <= from.tierIndex) return undefined
      const { fixedMs, bandwidthMbps, returnBandwidthMbps } = linkFigures(link, query.confidence ?? 'median')
      return {
        fixedMs: fixedMs + (answerBytes * MS_PER_BYTE_AT_1_MBPS) / returnBandwidthMbps,
        sendFixedMs: 0,
        msPerByte: MS_PER_BYTE_AT_1_MBPS / bandwidthMbps,
      }
    }),
  )
}
