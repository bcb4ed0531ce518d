/**
 * The ways a request may take, and what the constraints say about each: which layers may be where, which places must
 * hold one, and what sums may not pass which limit. Everything that is about resources only is settled here.
 */
import { OBJECTIVES, type Objective } from '../../contracts/plan.ts'
import { parsePin } from '../limits/constraints.ts'
import type { World } from './graph-instance.ts'
import type { Figures } from '../problem/problem.ts'

/** A sum over a plan: constant + Σ compute[p]·ms at p + Σ weight[p]·weight bytes at p + Σ bytes[l]·bytes over link l. */
export interface Sum {
  constant: number
  compute: Float64Array
  weight: Float64Array
  bytes: Float64Array
}

export interface Budget {
  name: string
  sum: Sum
  limit: number
}

/** Indices of places, the source's first, and the ms that each one's stage takes whatever it holds. */
interface Way {
  places: number[]
  fixed: number[]
}

/** Every place but the source must run a layer. */
export interface Path extends Way {
  /** Whether the source runs something; undefined: as it likes. */
  sourceRuns: boolean | undefined
  /** Per group, the first and the last place on the path where it may be. */
  low: Uint8Array
  high: Uint8Array
  /** Group and place between these where it may not be. */
  holes: [group: number, place: number][]
  /** True when layers are pinned by privacy only, and the objective is latency. */
  isPlain: boolean
  objective: Sum
  budgets: Budget[]
  /** Most bytes of weights and activations, per place. */
  memory: number[]
}

/** Every way along links over later and later tiers that the constraints leave. */
export function pathsOf(world: World): Path[] {
  const found: Path[] = []
  const walk = (places: number[]): void => {
    for (const path of variantsOf(world, places)) found.push(path)
    const at = places.at(-1)!
    world.places.forEach((_, to) => {
      if (world.crossings[at]![to] !== undefined && isAllowed(world, to)) walk([...places, to])
    })
  }
  for (const start of world.starts) walk([start])
  return found
}

function isAllowed({ places, query }: World, place: number): boolean {
  const { name, tier } = places[place]!.resource
  return !query.mustNotUseResources?.includes(name) && !query.mustNotUseTiers?.includes(tier)
}

/** With and without layers on the source, where that matters to anything but the layers. */
function variantsOf(world: World, places: number[]): Path[] {
  const { query } = world
  const source = world.places[places[0]!]!
  const links = places.length - 1
  const mayRun = source.profile !== undefined && isAllowed(world, places[0]!)
  const must = (query.mustUseResources ?? []).filter((name) => !isOn(world, places.slice(1), 'name', name))
  const mustTiers = (query.mustUseTiers ?? []).filter((tier) => !isOn(world, places.slice(1), 'tier', tier))
  const onlySource =
    must.every((name) => name === source.resource.name) &&
    mustTiers.every((tier) => tier === source.resource.tier)
  if (!onlySource) return []
  const asked = must.length + mustTiers.length > 0
  const fits = (stages: number) => stages >= (query.minStages ?? 1) && stages <= (query.maxStages ?? Infinity)
  const withSource = mayRun && fits(links + 1)
  const without = !asked && links > 0 && fits(links) && isFirst(world, places)
  const make = (sourceRuns: boolean | undefined) => pathOf(world, places, sourceRuns)
  const paths =
    withSource && without && links > 0 && source.fixedMs === 0
      ? [make(undefined)]
      : [...(withSource ? [make(true)] : []), ...(without ? [make(false)] : [])]
  return paths.filter(hasRoom)
}

/** Whether every group has a place. */
function hasRoom({ low, high }: Path): boolean {
  for (let group = 0; group < low.length; group += 1) if (low[group]! > high[group]!) return false
  return true
}

/** A source that runs nothing is the same with all its options: only the first counts. */
function isFirst(world: World, places: readonly number[]): boolean {
  return places[0] === world.starts[0] || world.places[places[0]!]!.profile === undefined
}

function isOn(world: World, places: readonly number[], field: 'name' | 'tier', value: string): boolean {
  return places.some((place) => world.places[place]!.resource[field] === value)
}

function pathOf(world: World, places: number[], sourceRuns: boolean | undefined): Path {
  const fixed = places.map((place, at) =>
    at === 0 && sourceRuns === false ? 0 : world.places[place]!.fixedMs,
  )
  const path: Path = {
    places,
    fixed,
    sourceRuns,
    low: new Uint8Array(world.graph.groups).fill(sourceRuns === false ? 1 : 0),
    high: new Uint8Array(world.graph.groups).fill(places.length - 1),
    holes: [],
    isPlain: world.query.objective === 'latency',
    objective: objectiveOf(world, { places, fixed }),
    budgets: budgetsOf(world, { places, fixed }),
    memory: places.map(
      (place) => world.query.maxMemoryBytes?.[world.places[place]!.resource.name] ?? Infinity,
    ),
  }
  pinLayers(world, path)
  return path
}

function pinLayers(world: World, path: Path): void {
  const { query, graph } = world
  const tierAt = (place: number) => world.places[path.places[place]!]!.resource.tier
  const { onSource } = world
  for (let layer = 0; layer < onSource; layer += 1) path.high[graph.groupOf[layer]!] = 0
  const banned = new Set<string>()
  const pins = (texts: readonly string[] | undefined, wanted: boolean) => {
    for (const { from, to, tier } of (texts ?? []).map(parsePin))
      path.places.forEach((_, place) => {
        if ((tierAt(place) === tier) === wanted) return
        for (let layer = from; layer < to; layer += 1) banned.add(`${graph.groupOf[layer]} ${place}`)
      })
  }
  pins(query.mustRunLayers, true)
  pins(query.mustNotRunLayers, false)
  if (banned.size === 0) return
  path.isPlain = false
  const isBanned = (group: number, place: number) => banned.has(`${group} ${place}`)
  for (let group = 0; group < graph.groups; group += 1) {
    while (path.low[group]! <= path.high[group]! && isBanned(group, path.low[group]!)) path.low[group]! += 1
    while (path.high[group]! > path.low[group]! && isBanned(group, path.high[group]!)) path.high[group]! -= 1
    for (let place = path.low[group]! + 1; place < path.high[group]!; place += 1)
      if (isBanned(group, place)) path.holes.push([group, place])
  }
}

export function zeroSum(places: number): Sum {
  return {
    constant: 0,
    compute: new Float64Array(places),
    weight: new Float64Array(places),
    bytes: new Float64Array(places - 1),
  }
}

/** Adds `factor` times the other sum. */
export function addSum(sum: Sum, other: Sum, factor: number): Sum {
  sum.constant += factor * other.constant
  for (const part of ['compute', 'weight', 'bytes'] as const)
    for (let at = 0; at < sum[part].length; at += 1) sum[part][at]! += factor * other[part][at]!
  return sum
}

function objectiveOf(world: World, way: Way): Sum {
  const { objective } = world.query
  const weights: Partial<Record<Objective, number>> = world.query.weights ?? {}
  if (objective !== 'weighted') return sumOf(world, way, objective)
  const sum = zeroSum(way.places.length)
  for (const name of OBJECTIVES) addSum(sum, sumOf(world, way, name), weights[name] ?? 0)
  return sum
}

function sumOf(world: World, way: Way, objective: string): Sum {
  if (objective === 'energy') return energyOf(world, way)
  if (objective === 'price') return priceOf(world, way)
  if (objective === 'bytes') {
    const sum = zeroSum(way.places.length)
    sum.bytes.fill(1)
    return sum
  }
  return latencyOf(world, way)
}

function latencyOf(world: World, { places, fixed }: Way): Sum {
  const sum = zeroSum(places.length)
  sum.compute.fill(1)
  places.forEach((place, at) => {
    sum.constant += fixed[at]!
    if (at === 0) return
    const { fixedMs, msPerByte } = world.crossings[places[at - 1]!]![place]!
    sum.constant += fixedMs
    sum.bytes[at - 1] = msPerByte
  })
  return sum
}

/** Joules: busy watts while it computes, transmit watts while it sends, idle watts for the rest of the request. */
function energyOf(world: World, way: Way): Sum {
  const { places, fixed } = way
  const sum = zeroSum(places.length)
  const latency = latencyOf(world, way)
  places.forEach((place, at) => {
    const watts = (field: 'busyWatts' | 'idleWatts' | 'transmitWatts') =>
      figure(world, field, world.places[place]!.resource.name) / 1000
    addSum(sum, latency, watts('idleWatts'))
    const busy = watts('busyWatts') - watts('idleWatts')
    sum.compute[at]! += busy
    sum.constant += busy * fixed[at]!
    const next = places[at + 1]
    if (next === undefined) return
    const { sendFixedMs, msPerByte } = world.crossings[place]![next]!
    const sending = watts('transmitWatts') - watts('idleWatts')
    sum.constant += sending * sendFixedMs
    sum.bytes[at]! += sending * msPerByte
  })
  return sum
}

function priceOf(world: World, { places, fixed }: Way): Sum {
  const sum = zeroSum(places.length)
  places.forEach((place, at) => {
    const { name } = world.places[place]!.resource
    sum.compute[at] = figure(world, 'pricePerSecond', name) / 1000
    sum.constant += sum.compute[at] * fixed[at]!
    if (at + 1 < places.length) sum.bytes[at] = figure(world, 'pricePerGb', name) / 1e9
  })
  return sum
}

function figure({ figures }: World, field: keyof Figures, resource: string): number {
  const given = figures[field]
  return given && Object.hasOwn(given, resource) ? given[resource]! : 0
}

function budgetsOf(world: World, way: Way): Budget[] {
  const { query } = world
  const budgets: Budget[] = []
  const add: AddBudget = (name, limit, make) => {
    if (limit !== undefined) budgets.push({ name, limit, sum: make() })
  }
  if (query.objective !== 'latency') add('maxLatencyMs', query.maxLatencyMs, () => latencyOf(world, way))
  add('maxEnergyJ', query.maxEnergyJ, () => energyOf(world, way))
  add('maxPrice', query.maxPrice, () => priceOf(world, way))
  add('maxTotalUploadBytes', query.maxTotalUploadBytes, () => sumOf(world, way, 'bytes'))
  way.places.forEach((_, at) => {
    addPlaceBudgets(world, way, at, add)
  })
  return budgets
}

type AddBudget = (name: string, limit: number | undefined, make: () => Sum) => void

function addPlaceBudgets(world: World, { places, fixed }: Way, at: number, add: AddBudget): void {
  const { query } = world
  const { name, tier } = world.places[places[at]!]!.resource
  const stepMs = query.minThroughput === undefined ? undefined : 1000 / query.minThroughput
  const compute = () => single(places, 'compute', at, fixed[at]!)
  add(`maxTierMs: ${tier}`, query.maxTierMs?.[tier], compute)
  add('minThroughput', stepMs, compute)
  const percent = query.maxTierShare?.[tier]
  add(`maxTierShare: ${tier}`, percent === undefined ? undefined : 0, () =>
    shareOf({ places, fixed }, at, percent ?? 100),
  )
  // What is alive beside the weights is no sum: search.ts looks at it in the placements.
  add(`maxMemoryBytes: ${name}`, query.maxMemoryBytes?.[name], () => single(places, 'weight', at, 0))
  const next = places[at + 1]
  if (next === undefined) return
  add(`maxUploadBytes: ${tier}`, query.maxUploadBytes?.[tier], () => single(places, 'bytes', at, 0))
  const { fixedMs, msPerByte } = world.crossings[places[at]!]![next]!
  add('minThroughput', stepMs, () => single(places, 'bytes', at, fixedMs, msPerByte))
}

function single(
  places: readonly number[],
  part: 'compute' | 'weight' | 'bytes',
  at: number,
  constant: number,
  factor = 1,
): Sum {
  const sum = zeroSum(places.length)
  sum.constant = constant
  sum[part][at] = factor
  return sum
}

/** Time of the place − share · time of all ≤ 0. */
function shareOf({ places, fixed }: Way, at: number, percent: number): Sum {
  const sum = zeroSum(places.length)
  places.forEach((_, index) => {
    sum.compute[index] = Number(index === at) - percent / 100
    sum.constant += sum.compute[index] * fixed[index]!
  })
  return sum
}
