/**
 * Every plan there is, tried one by one, with constraints and costs written straight from their definitions
 * (shared/contracts/plan.ts, resource.ts). Shares no code with the optimiser.
 */
import type { OptimiserQuery, Problem } from '../../../services/planner/optimiser/index.ts'

export interface TriedStage {
  resource: string
  from: number
  to: number
}

export interface Tried {
  stages: TriedStage[]
  ms: number
  /** The slowest stage or transfer. */
  slowestMs: number
}

/** All plans that satisfy the query, best first with the documented order of ties. */
export function tryAll(problem: Problem, query: OptimiserQuery): Tried[] {
  const found: Tried[] = []
  for (const stages of assignments(problem, query.source ?? '')) {
    if (!satisfies(problem, query, stages)) continue
    const steps = stepsOf(problem, query.source ?? '', stages)
    if (steps === undefined || !isWithin(problem, query, stages, steps)) continue
    const all = steps.flatMap(({ hopMs, computeMs }) => [hopMs, computeMs])
    const ms = all.reduce((sum, step) => sum + step, 0)
    if (ms <= (query.maxLatencyMs ?? Infinity)) found.push({ stages, ms, slowestMs: Math.max(...all) })
  }
  return found.sort((a, b) => order(problem, query, a, b))
}

/** Every way to run the layers in order on resources of strictly later tiers, from the source on. */
function* assignments(problem: Problem, source: string, begun: TriedStage[] = []): Generator<TriedStage[]> {
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

function satisfies(problem: Problem, query: OptimiserQuery, stages: readonly TriedStage[]): boolean {
  const used = new Set(stages.map((stage) => stage.resource))
  const tiers = new Set(problem.resources.filter(({ name }) => used.has(name)).map(({ tier }) => tier))
  const cuts = stages.slice(1).map((stage) => problem.structure.boundaries[stage.from]!)
  const early = stages.filter((stage) => stage.from < (query.firstLayersOnDevice ?? 0))
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

/** For each layer of `2:edge` or `2-5:edge`, whether it runs on that tier. */
function pinned(problem: Problem, stages: readonly TriedStage[], pin: string): boolean[] {
  const [layers = '', tier] = pin.split(':')
  const [from = '', to] = layers.split('-')
  const end = to === undefined ? Number(from) + 1 : Number(to)
  return Array.from({ length: end - Number(from) }, (_, index) => {
    const layer = Number(from) + index
    const stage = stages.find((one) => one.from <= layer && layer < one.to)!
    return problem.resources.find((one) => one.name === stage.resource)!.tier === tier
  })
}

/** Limits on time, upload and memory, each against what the plan takes. */
function isWithin(
  problem: Problem,
  query: OptimiserQuery,
  stages: readonly TriedStage[],
  steps: readonly Step[],
): boolean {
  const { layers, boundaries } = problem.structure
  const tierOf = (name: string) => problem.resources.find((one) => one.name === name)!.tier
  return stages.every(({ resource, from, to }, at) => {
    const { computeMs, hopMs } = steps[at]!
    const sender = at === 0 ? (query.source ?? '') : stages[at - 1]!.resource
    const sent = resource === sender ? 0 : boundaries[from]!.bytes
    const own = layers.slice(from, to)
    const weights = own.reduce((sum, layer) => sum + layer.weightBytes, 0)
    const alive = own.map((layer) => boundaries[layer.index]!.bytes + layer.outputs[0]!.bytes)
    return (
      computeMs <= (query.maxTierMs?.[tierOf(resource)] ?? Infinity) &&
      (resource === sender || sent <= (query.maxUploadBytes?.[tierOf(sender)] ?? Infinity)) &&
      weights + Math.max(...alive) <= (query.maxMemoryBytes?.[resource] ?? Infinity) &&
      Math.max(computeMs, hopMs) <= 1000 / (query.minThroughput ?? 0)
    )
  })
}

interface Step {
  hopMs: number
  computeMs: number
}

/** Per stage the way to it and its compute; undefined when a profile or link is missing. */
function stepsOf(problem: Problem, source: string, stages: readonly TriedStage[]): Step[] | undefined {
  const answer = problem.structure.boundaries.at(-1)!.bytes
  const steps: Step[] = []
  let at = source
  for (const { resource, from, to } of stages) {
    const profile = problem.profiles.find((one) => one.resource === resource)
    if (!profile) return undefined
    let hopMs = 0
    if (resource !== at) {
      const link = problem.links.find((one) => one.from === at && one.to === resource)
      if (!link) return undefined
      const bytes = problem.structure.boundaries[from]!.bytes
      hopMs = link.rttMs
      hopMs += (bytes * 8) / 1000 / link.bandwidthMbps + (answer * 8) / 1000 / link.returnBandwidthMbps
    }
    const { slowdown } = problem.resources.find((one) => one.name === resource)!
    let computeMs = 0
    for (let layer = from; layer < to; layer += 1) computeMs += profile.layerMs[layer]! * slowdown
    steps.push({ hopMs, computeMs })
    at = resource
  }
  return steps
}

/** The objective, latency, fewer stages, earlier resources (by tier, then name), earlier cuts. */
function order(problem: Problem, query: OptimiserQuery, a: Tried, b: Tried): number {
  const rank = (name: string) => {
    const { tierIndex } = problem.resources.find((resource) => resource.name === name)!
    return `${String(tierIndex).padStart(3, '0')} ${name}`
  }
  const key = ({ stages }: Tried) => stages.map((stage) => rank(stage.resource)).join(',')
  const cuts = ({ stages }: Tried) => stages.map((stage) => String(stage.from).padStart(4, '0')).join(',')
  const text = (x: string, y: string) => (x < y ? -1 : Number(x > y))
  const objective = query.objective === 'throughput' ? a.slowestMs - b.slowestMs : 0
  return (
    objective ||
    a.ms - b.ms ||
    a.stages.length - b.stages.length ||
    text(key(a), key(b)) ||
    text(cuts(a), cuts(b))
  )
}
