/**
 * What a plan costs, straight from profiles, links and boundaries: no prefix sums, no matrices, no search. It prices
 * a plan that an id names, and it checks the optimiser: every plan returned is priced here again and must agree.
 *
 * Latency = Σ layerMs · slowdown + per hop rtt + bytes · 8 / bandwidth + output bytes · 8 / return bandwidth
 * (shared/contracts/resource.ts, Link; one round trip per hop). Latency is for one request at a time; with one
 * request in every stage and on every link, the slowest of them sets the throughput.
 */
import type { Plan, Stage, Transfer } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { formatPlanId, type PlanParts, type PlanStage } from '../../../shared/plan-id.ts'
import { nearest } from './names.ts'
import type { PlanningLink, PlanningProfile, PlanningResource, Problem } from './problem.ts'

/**
 * The plan with its cost at the problem's profiles and links.
 * @throws ScissionError notFound (unknown resource), notMeasured (profile or link missing), invalidRange (layers that
 * do not exist, a boundary that must not be cut, a stage that goes back to an earlier tier).
 */
export function evaluatePlan(problem: Problem, parts: PlanParts): Plan {
  const { structure } = problem
  if (parts.model !== structure.model || parts.shapesKey !== structure.shapesKey)
    throw new ScissionError('notFound', `plan of model ${parts.model}.${parts.shapesKey}, not of this one`)
  checkStages(problem, parts)
  const stages = parts.stages.map((stage) => stageOf(problem, stage))
  const path = pathOf(parts)
  const transfers = path
    .slice(1)
    .map(({ resource, from }, hop) => transferOf(problem, path[hop]!.resource, resource, from))
  const computeMs = sum(stages.map((stage) => stage.computeMs))
  const transferMs = sum(transfers.map((transfer) => transfer.ms + transfer.returnMs))
  return {
    id: formatPlanId(parts),
    model: structure.model,
    shapesKey: structure.shapesKey,
    source: parts.source,
    stages,
    transfers,
    computeMs,
    transferMs,
    predictedMs: computeMs + transferMs,
    bottleneckMs: Math.max(
      ...stages.map((stage) => stage.computeMs),
      ...transfers.map((transfer) => transfer.ms + transfer.returnMs),
    ),
    native: stages.length === 1,
    emulated: isEmulated(problem, parts),
  }
}

/** The resources a request passes, in order: the source first, even if it runs nothing. */
function pathOf({ source, stages }: PlanParts): readonly PlanStage[] {
  return stages[0]?.resource === source ? stages : [{ resource: source, from: 0, to: 0 }, ...stages]
}

function stageOf(problem: Problem, { resource, from, to }: PlanStage): Stage {
  const { tier, slowdown } = resourceNamed(problem, resource)
  const layerMs = profileOf(problem, resource).layerMs.slice(from, to)
  const layers = problem.structure.layers.slice(from, to)
  const weightBytes = sum(layers.map((layer) => layer.weightBytes))
  // While a layer runs, the frontier before it and its outputs are alive.
  const alive = layers.map(
    (layer, index) =>
      (problem.structure.boundaries[from + index]?.bytes ?? 0) + sum(layer.outputs.map(({ bytes }) => bytes)),
  )
  const memoryBytes = weightBytes + alive.reduce((most, bytes) => Math.max(most, bytes), 0)
  return { resource, tier, from, to, computeMs: sum(layerMs) * slowdown, weightBytes, memoryBytes }
}

function transferOf(problem: Problem, from: string, to: string, boundary: number): Transfer {
  const link = linkOf(problem, from, to)
  const bytes = problem.structure.boundaries[boundary]?.bytes ?? 0
  const returnBytes = problem.structure.boundaries.at(-1)?.bytes ?? 0
  return {
    from,
    to,
    boundary,
    bytes,
    ms: link.rttMs + wireMs(bytes, link.bandwidthMbps),
    returnBytes,
    returnMs: wireMs(returnBytes, link.returnBandwidthMbps),
  }
}

/** ms that the bytes take: bits / (10^6 bit/s · bandwidth) · 1000. */
function wireMs(bytes: number, bandwidthMbps: number): number {
  return (bytes * 8) / (bandwidthMbps * 1000)
}

function checkStages(problem: Problem, parts: PlanParts): void {
  const layers = problem.structure.layers.length
  const end = parts.stages.at(-1)?.to
  if (end !== layers)
    throw new ScissionError('invalidRange', `the plan ends at layer ${end}, the model has ${layers} layers`)
  const path = pathOf(parts)
  path.slice(1).forEach(({ resource, from }, hop) => {
    const before = resourceNamed(problem, path[hop]!.resource)
    const after = resourceNamed(problem, resource)
    if (after.tierIndex <= before.tierIndex)
      throw new ScissionError(
        'invalidRange',
        `stages only move forward: ${after.name} (tier ${after.tier}) does not come after ` +
          `${before.name} (tier ${before.tier})`,
      )
    const boundary = problem.structure.boundaries[from]
    if (from > 0 && !boundary?.allowed)
      throw new ScissionError(
        'invalidRange',
        `boundary ${from} must not be cut: ${boundary?.why ?? 'results change'}`,
      )
  })
}

function isEmulated(problem: Problem, parts: PlanParts): boolean {
  const path = pathOf(parts)
  const slowed = parts.stages.some(({ resource }) => {
    const { emulated, slowdown } = resourceNamed(problem, resource)
    return emulated || slowdown !== 1 || profileOf(problem, resource).emulated
  })
  return (
    slowed ||
    path.slice(1).some(({ resource }, hop) => linkOf(problem, path[hop]!.resource, resource).emulated)
  )
}

function resourceNamed(problem: Problem, name: string): PlanningResource {
  const found = problem.resources.find((resource) => resource.name === name)
  if (found) return found
  const known = problem.resources.map((resource) => resource.name).sort()
  throw new ScissionError('notFound', `unknown resource ${name}${nearest(name, known)}`, { known })
}

function profileOf(problem: Problem, resource: string): PlanningProfile {
  const found = problem.profiles.find((profile) => profile.resource === resource)
  if (found) return found
  throw new ScissionError(
    'notMeasured',
    `${resource} has no profile of this model: benchmark the model on it`,
  )
}

function linkOf(problem: Problem, from: string, to: string): PlanningLink {
  const found = problem.links.find((link) => link.from === from && link.to === to)
  if (found) return found
  throw new ScissionError(
    'notMeasured',
    `the link ${from} → ${to} is not measured: measure it or give its figures`,
  )
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
