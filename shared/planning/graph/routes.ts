/**
 * The routes that a request may take in the graph view, and what the limits say of each: which layers may be at which stop,
 * which stops must run a layer, and the side constraints. Limits on tiers, resources and stages are settled here.
 */
import { MESSAGE_JSON_BYTES } from '../../contracts/resource.ts'
import { sum } from '../problem/problem.ts'
import type { GraphInstance } from './graph-instance.ts'
import {
  type LinearForm,
  objectiveForm,
  type SideConstraint,
  sideConstraintsOf,
  type Stops,
} from './linear-forms.ts'

/** Every stop except the source must run a layer. */
export interface GraphRoute extends Stops {
  /** Whether the source runs a layer; undefined: it may or may not. */
  sourceRuns: boolean | undefined
  /** Per group, the first and the last stop where it may be. */
  low: Uint8Array
  high: Uint8Array
  /** Stops between `low` and `high` where a group must not be. */
  holes: [group: number, stop: number][]
  /** True if only privacy pins layers and the objective is latency: routes can share cuts of single links. */
  isPlain: boolean
  objective: LinearForm
  sideConstraints: SideConstraint[]
  /** Per stop, most bytes of weights and activations. */
  maxMemoryBytes: number[]
}

/** Every route along links over later and later tiers that the limits allow. */
export function graphRoutesOf(instance: GraphInstance): GraphRoute[] {
  const { links, limits, runners, starts, problem } = instance
  const answerBytes = sum(problem.structure.outputs.map(({ bytes }) => bytes)) + MESSAGE_JSON_BYTES
  const found: GraphRoute[] = []
  const walk = (stops: number[]): void => {
    found.push(...variantsOf(instance, stops))
    const last = stops.at(-1)!
    // The answer of later stops comes back through this one.
    if (answerBytes > limits.maxMessageBytes[runners[last]!.at]!) return
    const from = links[last]!
    runners.forEach(({ at }, to) => {
      if (from[to] !== undefined && limits.usable[at]) walk([...stops, to])
    })
  }
  for (const start of starts) walk([start])
  return found
}

/** The route with and without layers on the source, as one if both are allowed: they differ in nothing but the layers. */
function variantsOf(instance: GraphInstance, stops: number[]): GraphRoute[] {
  const { limits, runners } = instance
  const source = runners[stops[0]!]!
  const ranks = stops.slice(1).map((runner) => runners[runner]!.rank)
  const missing = limits.required.flatMap((needed, rank) => (needed && !ranks.includes(rank) ? [rank] : []))
  if (missing.some((rank) => rank !== source.rank)) return []
  const later = stops.length - 1
  const fits = (stages: number) => stages >= limits.minStages && stages <= limits.maxStages
  const withSource = limits.usable[source.at] === 1 && fits(later + 1)
  const without = missing.length === 0 && later > 0 && fits(later) && isFirst(instance, stops)
  const make = (sourceRuns: boolean | undefined) => routeOf(instance, stops, sourceRuns)
  if (!withSource && !without) return []
  return [make(withSource && without ? undefined : withSource)].filter(hasDomain)
}

/** Whether every group may be at some stop. */
function hasDomain({ low, high }: GraphRoute): boolean {
  for (let group = 0; group < low.length; group += 1) if (low[group]! > high[group]!) return false
  return true
}

/** A source that runs nothing is the same with all its runtime options: only the first of its runners counts. */
function isFirst({ starts, runners }: GraphInstance, stops: readonly number[]): boolean {
  return stops[0] === starts[0] || runners[stops[0]!]!.profile === undefined
}

function routeOf(instance: GraphInstance, runners: number[], sourceRuns: boolean | undefined): GraphRoute {
  const { graph, goal, limits } = instance
  const at = runners.map((runner) => instance.runners[runner]!)
  const fixedMs = at.map((runner) => runner.fixedMs)
  const stops = { runners, fixedMs }
  const route: GraphRoute = {
    runners,
    fixedMs,
    sourceRuns,
    low: new Uint8Array(graph.groups).fill(sourceRuns === false ? 1 : 0),
    high: new Uint8Array(graph.groups).fill(runners.length - 1),
    holes: [],
    isPlain: goal.objective === 'latency',
    objective: objectiveForm(instance, stops),
    sideConstraints: sideConstraintsOf(instance, stops),
    maxMemoryBytes: at.map((runner) => limits.maxMemoryBytes[runner.at]!),
  }
  pinLayers(instance, route)
  return route
}

function pinLayers({ graph, limits, runners }: GraphInstance, route: GraphRoute): void {
  const { groups, groupOf } = graph
  const { low, high } = route
  for (let layer = 0; layer < limits.firstLayers; layer += 1) high[groupOf[layer]!] = 0
  const banned = route.runners.map((runner) => {
    const forbidden = limits.forbidden[runners[runner]!.at]
    if (!forbidden?.includes(1)) return undefined
    const marks = new Uint8Array(groups)
    forbidden.forEach((isForbidden, layer) => {
      if (isForbidden) marks[groupOf[layer]!] = 1
    })
    return marks
  })
  if (banned.every((one) => one === undefined)) return
  route.isPlain = false
  const isBanned = (group: number, stop: number) => banned[stop]?.[group] === 1
  for (let group = 0; group < groups; group += 1) {
    while (low[group]! <= high[group]! && isBanned(group, low[group]!)) low[group]! += 1
    while (high[group]! > low[group]! && isBanned(group, high[group]!)) high[group]! -= 1
    for (let stop = low[group]! + 1; stop < high[group]!; stop += 1)
      if (isBanned(group, stop)) route.holes.push([group, stop])
  }
}
