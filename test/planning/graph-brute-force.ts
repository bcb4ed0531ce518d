/**
 * Every placement of layers on resources there is, with costs and constraints written straight from their definitions
 * (shared/contracts/plan.ts, resource.ts). Shares no code with the optimiser.
 */
import type { GraphProblem, OptimiserQuery } from '../../shared/planning/index.ts'

type Profile = GraphProblem['profiles'][number]
type Resource = GraphProblem['resources'][number]

interface Runner {
  resource: Resource
  profile: Profile
}

/** The least value of the objective over all placements; undefined when none satisfies the query. */
export function tryAllPlacements(problem: GraphProblem, query: OptimiserQuery): number | undefined {
  const values = [...bestBySet(problem, query).values()]
  return values.length === 0 ? undefined : Math.min(...values)
}

/** The least value of the placements that use exactly these runners, by their names in the order of the tiers. */
export function bestBySet(problem: GraphProblem, query: OptimiserQuery): Map<string, number> {
  const source = problem.resources.find(({ name }) => name === query.source)!
  const runners = problem.profiles
    .map((profile) => ({
      profile,
      resource: problem.resources.find(({ name }) => name === profile.resource)!,
    }))
    .filter(({ resource }) => resource === source || resource.tierIndex > source.tierIndex)
  const best = new Map<string, number>()
  const chosen: Runner[] = []
  const place = (layer: number): void => {
    if (layer === problem.structure.layers.length) {
      const value = valueOf(problem, query, source, chosen)
      const set = [...new Set(chosen)].sort((a, b) => a.resource.tierIndex - b.resource.tierIndex)
      const key = set.map(nameOf).join(', ')
      if (value === undefined || value >= (best.get(key) ?? Infinity)) return
      best.set(key, value)
      return
    }
    for (const candidate of runners) {
      if (!mayFollow(problem, query, chosen, layer, candidate)) continue
      chosen[layer] = candidate
      place(layer + 1)
      chosen.length = layer
    }
  }
  place(0)
  return best
}

interface NamedStage {
  resource: string
  layers: readonly (readonly [from: number, to: number])[]
  options?: { threads: number } | undefined
}

/**
 * Costs of a plan, by its stages, and the runners that it uses, named as above.
 * @returns undefined when it breaks a constraint, runs a layer twice or not at all, or lets a tensor go back.
 */
export function tryStages(
  problem: GraphProblem,
  query: OptimiserQuery,
  stages: readonly NamedStage[],
): { value: number; set: string } | undefined {
  const source = problem.resources.find(({ name }) => name === query.source)!
  const used = stages.map(({ resource, options }): Runner => {
    const own = problem.profiles.filter((profile) => profile.resource === resource)
    const profile = options ? own.find((one) => one.options?.threads === options.threads) : own[0]
    return { resource: problem.resources.find(({ name }) => name === resource)!, profile: profile! }
  })
  const chosen: Runner[] = []
  for (const { index } of problem.structure.layers) {
    const at = stages.flatMap(({ layers }, stage) =>
      layers.some(([from, to]) => from <= index && index < to) ? [used[stage]!] : [],
    )
    if (at.length !== 1 || !mayFollow(problem, query, chosen, index, at[0]!)) return undefined
    chosen.push(at[0]!)
  }
  const value = valueOf(problem, query, source, chosen)
  return value === undefined ? undefined : { value, set: used.map(nameOf).join(', ') }
}

const nameOf = ({ profile }: Runner) => `${profile.resource} ${profile.options?.threads}`

function mayFollow(
  { structure }: GraphProblem,
  query: OptimiserQuery,
  chosen: readonly Runner[],
  layer: number,
  candidate: Runner,
): boolean {
  const { tier, tierIndex, name } = candidate.resource
  const { layers, boundaries } = structure
  const boundary = boundaries[layer]!
  const isCut = boundary.allowed && (query.cuts === 'any' || boundary.clean)
  if (layer > 0 && !isCut && chosen[layer - 1] !== candidate) return false
  const maker = layers.findIndex(({ outputs }) => outputs.some((one) => one.name === query.tensorOnDevice))
  if (layer < Math.max(query.firstLayersOnDevice ?? 0, maker + 1) && name !== query.source) return false
  const isPinned = (text: string) => {
    const [range = '', pinTier] = text.split(':')
    const [from = 0, to = from + 1] = range.split('-').map(Number)
    return layer >= from && layer < to ? pinTier : undefined
  }
  const pins = (texts: readonly string[] | undefined) => (texts ?? []).map(isPinned).filter(Boolean)
  if (pins(query.mustRunLayers).some((pin) => pin !== tier)) return false
  if (pins(query.mustNotRunLayers).some((pin) => pin === tier)) return false
  return chosen.every((other, index) => {
    if (other === candidate) return true
    if (other.resource.tierIndex === tierIndex) return false
    const feeds = layers[index]!.outputs.some((made) => layers[layer]!.inputs.includes(made.name))
    return !feeds || other.resource.tierIndex < tierIndex
  })
}

/** Value of the objective; undefined if a constraint is broken. */
function valueOf(
  problem: GraphProblem,
  query: OptimiserQuery,
  source: Resource,
  chosen: readonly Runner[],
): number | undefined {
  const used = [...new Set(chosen)].sort((a, b) => a.resource.tierIndex - b.resource.tierIndex)
  if (!mayUse(query, used)) return undefined
  const route = [source, ...used.map(({ resource }) => resource).filter((resource) => resource !== source)]
  const upper = query.confidence === 'upper'
  const stages = route.map((resource) => stageOf(problem, upper, resource, chosen))
  const hops: Hop[] = []
  for (let at = 0; at + 1 < route.length; at += 1) {
    const hop = hopOf(problem, upper, route, at, chosen)
    if (hop === undefined) return undefined
    hops.push(hop)
  }
  const latency = sum(stages.map(({ ms }) => ms)) + sum(hops.map((hop) => hop.ms))
  const figure = (field: 'busyWatts' | 'idleWatts' | 'transmitWatts' | 'pricePerSecond' | 'pricePerGb') =>
    route.map(({ name }) => query[field]?.[name] ?? 0)
  const costs = {
    latency,
    throughput: Math.max(...stages.map(({ ms }) => ms), ...hops.map((hop) => hop.ms)),
    bytes: sum(hops.map((hop) => hop.bytes)),
    energy:
      sum(
        route.map((_, at) => {
          const computeMs = stages[at]!.ms
          const sendMs = hops[at]?.sendMs ?? 0
          return (
            figure('busyWatts')[at]! * computeMs +
            figure('transmitWatts')[at]! * sendMs +
            figure('idleWatts')[at]! * (latency - computeMs - sendMs)
          )
        }),
      ) / 1000,
    price: sum(
      route.map(
        (_, at) =>
          (figure('pricePerSecond')[at]! * stages[at]!.ms) / 1000 +
          (figure('pricePerGb')[at]! * (hops[at]?.bytes ?? 0)) / 1e9,
      ),
    ),
  }
  if (!keepsLimits(query, route, stages, hops, costs)) return undefined
  if (query.objective !== 'weighted') return costs[query.objective]
  const weights = query.weights!
  return sum((Object.keys(costs) as (keyof typeof costs)[]).map((name) => (weights[name] ?? 0) * costs[name]))
}

function mayUse(query: OptimiserQuery, used: readonly Runner[]): boolean {
  const names = used.map(({ resource }) => resource.name)
  const tiers = used.map(({ resource }) => resource.tier)
  return (
    (query.mustUseTiers ?? []).every((tier) => tiers.includes(tier)) &&
    !(query.mustNotUseTiers ?? []).some((tier) => tiers.includes(tier)) &&
    (query.mustUseResources ?? []).every((name) => names.includes(name)) &&
    !(query.mustNotUseResources ?? []).some((name) => names.includes(name)) &&
    used.length >= (query.minStages ?? 1) &&
    used.length <= (query.maxStages ?? Infinity)
  )
}

interface Stage {
  ms: number
  memoryBytes: number
}

function stageOf(
  problem: GraphProblem,
  upper: boolean,
  resource: Resource,
  chosen: readonly Runner[],
): Stage {
  const { layers, boundaries } = problem.structure
  const own = layers.filter(({ index }) => chosen[index]!.resource === resource)
  // A source without layers passes the input on, as its first profile says.
  const profile =
    own[0] === undefined
      ? problem.profiles.find((one) => one.resource === resource.name)
      : chosen[own[0].index]!.profile
  if (!profile) return { ms: 0, memoryBytes: 0 }
  const { layerMs, interval, callMs = 0, stops } = profile
  const plain = sum(own.map(({ index }) => layerMs[index]!))
  const { relative, fixedMs } = (upper && interval) || { relative: 0, fixedMs: 0 }
  // Of a request whose times contain the stops to be expected, three quarters of a stop more than one besides.
  const stoppedMs = upper && stops ? stops.ms * (stops.areExpected ? 1.75 : 1) : 0
  const alive = own.map(
    ({ index, outputs }) => boundaries[index]!.bytes + sum(outputs.map(({ bytes }) => bytes)),
  )
  return {
    ms: (plain * (1 + relative) + fixedMs + stoppedMs + callMs) * resource.slowdown,
    memoryBytes: sum(own.map(({ weightBytes }) => weightBytes)) + Math.max(0, ...alive),
  }
}

interface Hop {
  bytes: number
  sendMs: number
  ms: number
}

function hopOf(
  problem: GraphProblem,
  upper: boolean,
  route: readonly Resource[],
  at: number,
  chosen: readonly Runner[],
): Hop | undefined {
  const link = problem.links.find(({ from, to }) => from === route[at]!.name && to === route[at + 1]!.name)
  if (link === undefined) return undefined
  const { layers, inputs, outputs } = problem.structure
  const isBeyond = (layer: number) => route.indexOf(chosen[layer]!.resource) > at
  const here = [
    ...inputs,
    ...layers.filter(({ index }) => !isBeyond(index)).flatMap((layer) => layer.outputs),
  ]
  const crossing = here.filter(
    ({ name }) =>
      outputs.some((output) => output.name === name) ||
      layers.some((layer) => isBeyond(layer.index) && layer.inputs.includes(name)),
  )
  const bytes = sum(crossing.map((tensor) => tensor.bytes))
  const answer = sum(outputs.map((tensor) => tensor.bytes))
  const unsure = upper ? link.uncertainty : undefined
  const slowest = (mbps: number, width = 0) => Math.max(mbps - width, mbps / 10)
  const sendMs = (bytes * 8) / 1000 / slowest(link.bandwidthMbps, unsure?.bandwidthMbps)
  const backMs = (answer * 8) / 1000 / slowest(link.returnBandwidthMbps, unsure?.returnBandwidthMbps)
  const jitterMs = upper ? (link.jitterMs ?? 0) : 0
  const perMessageMs = (link.perMessageMs ?? 0) + (unsure?.perMessageMs ?? 0) + jitterMs
  const fixedMs = link.rttMs + (unsure?.rttMs ?? 0) + perMessageMs
  return { bytes, sendMs, ms: fixedMs + sendMs + backMs }
}

/** Sums in another order differ in the last digits. */
const within = (value: number, limit: number) => value <= limit * (1 + 1e-12) + 1e-12

function keepsLimits(
  query: OptimiserQuery,
  route: readonly Resource[],
  stages: readonly Stage[],
  hops: readonly Hop[],
  costs: Record<'latency' | 'throughput' | 'bytes' | 'energy' | 'price', number>,
): boolean {
  const allMs = sum(stages.map(({ ms }) => ms))
  return (
    within(costs.latency, query.maxLatencyMs ?? Infinity) &&
    within(costs.throughput, 1000 / (query.minThroughput ?? 0)) &&
    within(costs.bytes, query.maxTotalUploadBytes ?? Infinity) &&
    within(costs.energy, query.maxEnergyJ ?? Infinity) &&
    within(costs.price, query.maxPrice ?? Infinity) &&
    route.every(
      ({ name, tier }, at) =>
        within(stages[at]!.ms, query.maxTierMs?.[tier] ?? Infinity) &&
        within(stages[at]!.ms, (allMs * (query.maxTierShare?.[tier] ?? 100)) / 100) &&
        within(hops[at]?.bytes ?? 0, query.maxUploadBytes?.[tier] ?? Infinity) &&
        stages[at]!.memoryBytes <= (query.maxMemoryBytes?.[name] ?? Infinity),
    )
  )
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
