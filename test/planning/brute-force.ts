/**
 * Every plan there is, tried one by one, with constraints and costs written straight from their definitions
 * (shared/contracts/plan.ts, profile.ts, resource.ts). Shares no code with the optimiser.
 */
import type { OptimiserQuery, Problem } from '../../shared/planning/index.ts'
import { costsOf, type Costs } from './brute-force-costs.ts'

export interface TriedStage {
  resource: string
  from: number
  to: number
  /** `none` for the first stage of the source, too. */
  codec: string
  /** `2-all`; empty if the profile names no options. */
  options: string
}

export interface Tried extends Costs {
  stages: TriedStage[]
  /** Value of the query's objective. */
  value: number
}

/** All plans that satisfy the query, best first with the documented order of ties. */
export function tryAll(problem: Problem, query: OptimiserQuery): Tried[] {
  return satisfying(problem, query).sort((a, b) => order(problem, a, b))
}

/** Number of plans that the query's tiers, resources, cuts and codecs leave, whatever they cost. */
export function countAll(problem: Problem, query: OptimiserQuery): number {
  const { mustRunLayers: _, mustNotRunLayers: __, ...asked } = query
  let count = 0
  for (const stages of assignments(problem, query.source ?? ''))
    if (satisfies(problem, asked, stages))
      for (const full of decorated(problem, query, stages)) {
        const costs = costsOf(problem, query, full)
        if (costs && costs.losses.every((loss) => loss <= (query.maxAccuracyLoss ?? 0))) count += 1
      }
  return count
}

/** The best plan of each set of resources. */
export function bestPerResources(plans: readonly Tried[]): Tried[] {
  const seen = new Set<string>()
  return plans.filter(({ stages }) => {
    const key = stages.map((stage) => stage.resource).join()
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** Values of the objectives for which no plan is at least as good in all and better in one; each once. */
export function frontOf(plans: readonly Tried[], objectives: readonly string[]): number[][] {
  const values = plans.map((plan) => objectives.map((objective) => valueOf(plan, { objective })))
  const keys = new Set<string>()
  return values.filter((one) => {
    const beaten = values.some(
      (other) => other.every((value, at) => value <= one[at]!) && other.some((value, at) => value < one[at]!),
    )
    if (beaten || keys.has(one.join())) return false
    keys.add(one.join())
    return true
  })
}

function satisfying(problem: Problem, query: OptimiserQuery): Tried[] {
  const found: Tried[] = []
  for (const bare of assignments(problem, query.source ?? '')) {
    if (!satisfies(problem, query, bare)) continue
    for (const stages of decorated(problem, query, bare)) {
      const costs = costsOf(problem, query, stages)
      if (costs && isWithin(problem, query, stages, costs))
        found.push({ stages, ...costs, value: valueOf(costs, query) })
    }
  }
  return found
}

function valueOf(
  costs: Costs,
  { objective, weights = {} }: { objective: string; weights?: Record<string, number> | undefined },
): number {
  switch (objective) {
    case 'latency':
      return costs.ms
    case 'throughput':
      return costs.slowestMs
    case 'bytes':
      return costs.bytes
    case 'energy':
      return costs.energyJ
    case 'price':
      return costs.price
    default:
      return Object.entries(weights).reduce(
        (sum, [name, weight]) => sum + weight * valueOf(costs, { objective: name }),
        0,
      )
  }
}

type BareStage = Pick<TriedStage, 'resource' | 'from' | 'to'>

/** Every plan that runs the layers in order on resources of strictly later tiers, from the source on. */
function* assignments(problem: Problem, source: string, begun: BareStage[] = []): Generator<BareStage[]> {
  const layers = problem.structure.layers.length
  const from = begun.at(-1)?.to ?? 0
  if (from === layers) {
    yield begun
    return
  }
  const tierOf = (name: string) => problem.resources.find((resource) => resource.name === name)!.tierIndex
  for (const { name, tierIndex } of problem.resources) {
    const previous = begun.at(-1)?.resource
    const follows =
      previous === undefined ? name === source || tierIndex > tierOf(source) : tierIndex > tierOf(previous)
    if (!follows) continue
    for (let to = from + 1; to <= layers; to += 1)
      yield* assignments(problem, source, [...begun, { resource: name, from, to }])
  }
}

/** Every choice of runtime options per stage and of codec per hop. */
function* decorated(
  problem: Problem,
  query: OptimiserQuery,
  bare: readonly BareStage[],
  done: TriedStage[] = [],
): Generator<TriedStage[]> {
  const stage = bare[done.length]
  if (stage === undefined) {
    yield done
    return
  }
  const profiles = problem.profiles.filter(({ resource }) => resource === stage.resource)
  const receives = stage.resource !== query.source
  const named = (problem.codecs ?? []).map(({ name }) => name)
  const codecs = ['none', ...named.filter((name) => query.codecs?.includes(name) ?? true)]
  for (const profile of profiles)
    for (const codec of receives ? new Set(codecs) : ['none'])
      yield* decorated(problem, query, bare, [
        ...done,
        { ...stage, codec, options: optionsKey(profile.options) },
      ])
}

function optionsKey(options: Problem['profiles'][number]['options']): string {
  return options ? `${options.threads}-${options.optimisation}` : ''
}

function satisfies(problem: Problem, query: OptimiserQuery, stages: readonly BareStage[]): boolean {
  const used = new Set(stages.map((stage) => stage.resource))
  const tiers = new Set(problem.resources.filter(({ name }) => used.has(name)).map(({ tier }) => tier))
  const cuts = stages.slice(1).map((stage) => problem.structure.boundaries[stage.from]!)
  const early = stages.filter((stage) => stage.from < onDevice(problem, query))
  return (
    (query.mustUseTiers ?? []).every((tier) => tiers.has(tier)) &&
    !(query.mustNotUseTiers ?? []).some((tier) => tiers.has(tier)) &&
    (query.mustUseResources ?? []).every((name) => used.has(name)) &&
    !(query.mustNotUseResources ?? []).some((name) => used.has(name)) &&
    early.every((stage) => stage.resource === query.source) &&
    stages.length >= (query.minStages ?? 1) &&
    stages.length <= (query.maxStages ?? 100) &&
    cuts.every((cut) => cut.allowed && (query.cuts === 'any' || cut.clean)) &&
    (query.mustRunLayers ?? []).every((pin) => pinned(problem, stages, pin).every((there) => there)) &&
    (query.mustNotRunLayers ?? []).every((pin) => pinned(problem, stages, pin).every((there) => !there))
  )
}

/** Layers before this one run on the source. */
function onDevice(problem: Problem, { firstLayersOnDevice = 0, tensorOnDevice }: OptimiserQuery): number {
  const maker = problem.structure.layers.findIndex(({ outputs }) =>
    outputs.some(({ name }) => name === tensorOnDevice),
  )
  return Math.max(firstLayersOnDevice, maker + 1)
}

/** For each layer of `2:edge` or `2-5:edge`, whether it runs on that tier. */
function pinned(problem: Problem, stages: readonly BareStage[], pin: string): boolean[] {
  const [layers = '', tier] = pin.split(':')
  const [from = '', to] = layers.split('-')
  const end = to === undefined ? Number(from) + 1 : Number(to)
  return Array.from({ length: end - Number(from) }, (_, index) => {
    const layer = Number(from) + index
    const stage = stages.find((one) => one.from <= layer && layer < one.to)!
    return problem.resources.find((one) => one.name === stage.resource)!.tier === tier
  })
}

/** Limits on time, upload, memory, energy, price and loss, each against what the plan takes. */
function isWithin(
  problem: Problem,
  query: OptimiserQuery,
  stages: readonly TriedStage[],
  costs: Costs,
): boolean {
  const { layers, boundaries } = problem.structure
  const tierOf = (name: string) => problem.resources.find((one) => one.name === name)!.tier
  const computeMs = costs.computeMs.reduce((sum, ms) => sum + ms, costs.relayMs)
  const relayTier = tierOf(query.source ?? '')
  const relays = stages[0]!.resource !== query.source
  const fits = stages.every(({ resource, from, to }, at) => {
    const own = layers.slice(from, to)
    const weights = own.reduce((sum, layer) => sum + layer.weightBytes, 0)
    const alive = own.map((layer) =>
      layer.outputs.reduce((sum, { bytes }) => sum + bytes, boundaries[layer.index]!.bytes),
    )
    return (
      costs.computeMs[at]! <= (query.maxTierMs?.[tierOf(resource)] ?? Infinity) &&
      weights + Math.max(...alive) <= (query.maxMemoryBytes?.[resource] ?? Infinity)
    )
  })
  const shares = Object.entries(query.maxTierShare ?? {}).every(([tier, percent]) => {
    const at = stages.findIndex(({ resource }) => tierOf(resource) === tier)
    const own = at < 0 ? Number(relays && tier === relayTier) * costs.relayMs : costs.computeMs[at]!
    return own * 100 <= percent * computeMs
  })
  return (
    fits &&
    costs.relayMs <= (query.maxTierMs?.[relayTier] ?? Infinity) &&
    shares &&
    costs.sent.every(({ from, bytes }) => bytes <= (query.maxUploadBytes?.[tierOf(from)] ?? Infinity)) &&
    costs.ms <= (query.maxLatencyMs ?? Infinity) &&
    costs.slowestMs <= 1000 / (query.minThroughput ?? 0) &&
    costs.bytes <= (query.maxTotalUploadBytes ?? Infinity) &&
    costs.energyJ <= (query.maxEnergyJ ?? Infinity) &&
    costs.price <= (query.maxPrice ?? Infinity) &&
    costs.loss <= (query.maxAccuracyLoss ?? 0)
  )
}

/** The objective, latency, fewer stages, earlier resources (by tier, then name), earlier cuts, codecs, options. */
function order(problem: Problem, a: Tried, b: Tried): number {
  const rank = (name: string) => {
    const { tierIndex } = problem.resources.find((resource) => resource.name === name)!
    return `${String(tierIndex).padStart(3, '0')} ${name}`
  }
  const variant = ({ resource, options }: TriedStage) => {
    const own = problem.resources.find(({ name }) => name === resource)!.options
    const first = problem.profiles.find((profile) => profile.resource === resource)!.options
    return optionsKey(own ?? first) === options ? '' : options.padStart(20, '0')
  }
  const keys: ((stage: TriedStage) => string)[] = [
    (stage) => rank(stage.resource),
    (stage) => String(stage.from).padStart(4, '0'),
    (stage) => (stage.codec === 'none' ? '' : stage.codec),
    variant,
  ]
  const text = (x: string, y: string) => (x < y ? -1 : Number(x > y))
  const ties = keys.map((key) => text(a.stages.map(key).join(), b.stages.map(key).join()))
  const costs = [a.value - b.value, a.ms - b.ms, a.stages.length - b.stages.length]
  return [...costs, ...ties].find((difference) => difference !== 0) ?? 0
}
