/**
 * What a plan costs, straight from profiles, links and boundaries: no prefix sums, no matrices, no search. It prices
 * a plan that an id names, and it checks the optimiser: every plan returned is priced here again and must agree.
 *
 *   latency = Σ stages (Σ layerMs + enterMs + exitMs) · slowdown
 *           + Σ hops encode + rtt + per message + wire bytes · 8 / bandwidth + decode + output bytes · 8 / return bandwidth
 *
 * (shared/contracts/resource.ts, Link; profile.ts.) Latency is for one request at a time; with one request in every
 * step, the slowest of them sets the throughput.
 */
import type { Plan, Stage, Transfer } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { formatPlanId, type PlanParts, type PlanStage } from '../../contracts/plan-id.ts'
import { type Bounded, type Confidence, intervalsOf, linkFigures, stageMsAt } from '../problem/confidence.ts'
import { energyOf, priceOf, type Work } from '../problem/figures.ts'
import {
  isEmulated,
  linkOf,
  pathOf,
  profileOf,
  resourceNamed,
  speedOf,
  warningsFrom,
} from '../problem/lookup.ts'
import { sameOptions } from '../problem/options.ts'
import { type Figures, ownOptions, type Problem } from '../problem/problem.ts'
import { checkStages } from './stages.ts'

export interface EvaluateOptions {
  /** Which figures the plan's numbers are made of; its interval always spans both bounds. Default: median. */
  confidence?: 'median' | 'upper' | undefined
  /** Default: the problem's. */
  figures?: Figures | undefined
}

/**
 * The plan with its cost at the problem's profiles and links.
 * @throws ScissionError notFound (unknown resource), notMeasured (profile, link or codec missing), invalidRange (layers
 * that do not exist, a boundary that must not be cut, a stage that goes back to an earlier tier).
 */
export function evaluatePlan(problem: Problem, named: PlanParts, options: EvaluateOptions = {}): Plan {
  const { structure } = problem
  if (named.model !== structure.model || named.shapesKey !== structure.shapesKey)
    throw new ScissionError('notFound', `plan of model ${named.model}.${named.shapesKey}, not of this one`)
  const parts = withoutOwnOptions(problem, named)
  checkStages(problem, parts)
  const { confidence = 'median', figures = problem.figures ?? {} } = options
  const measured = parts.stages.map((stage) => measuredMs(problem, stage))
  const at = (bound: Confidence) => costsAt(problem, parts, measured, figures, bound)
  const costs = at(confidence)
  const { stageMs, transfers, ...figured } = costs
  return {
    id: formatPlanId(parts),
    model: structure.model,
    shapesKey: structure.shapesKey,
    source: parts.source,
    stages: parts.stages.map((stage, at) => stageOf(problem, stage, stageMs[at]!)),
    transfers,
    ...figured,
    ...intervalsOf(at('lower'), confidence === 'upper' ? costs : at('upper')),
    bytes: sum(transfers.map((transfer) => transfer.wireBytes)),
    accuracyLoss: Math.min(1, sum(parts.stages.map((stage) => lossOf(problem, stage)))),
    native: parts.stages.length === 1,
    emulated: isEmulated(problem, parts),
    warnings: warningsOf(problem, parts),
  }
}

/** The resource's own options need no name: one plan has one id. */
function withoutOwnOptions(problem: Problem, parts: PlanParts): PlanParts {
  const stages = parts.stages.map(({ resource, from, to, codec, options }) => {
    const own =
      options === undefined || sameOptions(options, ownOptions(problem, resourceNamed(problem, resource)))
    return {
      resource,
      from,
      to,
      ...(codec === undefined || codec === 'none' ? {} : { codec }),
      ...(own ? {} : { options }),
    }
  })
  return { ...parts, stages }
}

function transfersOf(problem: Problem, parts: PlanParts, confidence: Confidence): Transfer[] {
  const path = pathOf(parts)
  return path.slice(1).map((stage, hop) => transferOf(problem, path[hop]!, stage, confidence))
}

interface CostsAtBound extends Bounded {
  stageMs: number[]
  transfers: Transfer[]
  computeMs: number
  transferMs: number
}

/** All that is made of times, each of them at the bound. @param measured of each stage, see measuredMs. */
function costsAt(
  problem: Problem,
  parts: PlanParts,
  measured: readonly number[],
  figures: Figures,
  confidence: Confidence,
): CostsAtBound {
  const stageMs = parts.stages.map((stage, at) => computeMsOf(problem, stage, measured[at]!, confidence))
  const transfers = transfersOf(problem, parts, confidence)
  const computeMs = sum(stageMs)
  const transferMs = sum(transfers.map(transferTotal))
  const predictedMs = computeMs + transferMs
  const work = workOf(problem, parts, stageMs, transfers, confidence)
  return {
    stageMs,
    transfers,
    computeMs,
    transferMs,
    predictedMs,
    bottleneckMs: Math.max(
      ...work.map((one) => one.computeMs + one.codingMs),
      ...transfers.map((transfer) => transfer.ms + transfer.returnMs),
    ),
    ...energyOf(work, predictedMs, figures),
    ...priceOf(work, figures),
  }
}

function transferTotal({ encodeMs, ms, decodeMs, returnMs }: Transfer): number {
  return encodeMs + ms + decodeMs + returnMs
}

function stageOf(problem: Problem, stage: PlanStage, computeMs: number): Stage {
  const { resource, from, to, options } = stage
  const { layers, boundaries } = problem.structure
  let weightBytes = 0
  let most = 0
  for (let layer = from; layer < to; layer += 1) {
    weightBytes += layers[layer]!.weightBytes
    // While a layer runs, the frontier before it and its outputs are alive.
    let alive = boundaries[layer]!.bytes
    for (const { bytes } of layers[layer]!.outputs) alive += bytes
    if (alive > most) most = alive
  }
  return {
    resource,
    tier: resourceNamed(problem, resource).tier,
    from,
    to,
    computeMs,
    weightBytes,
    memoryBytes: weightBytes + most,
    ...(options ? { options } : {}),
  }
}

/** As it was measured: the machine's own speed, before its slowdown. */
function measuredMs(problem: Problem, stage: PlanStage): number {
  const { from, to } = stage
  const { enterMs, exitMs, layerMs } = profileOf(problem, stage)
  let ms = 0
  for (let layer = from; layer < to; layer += 1) ms += layerMs[layer]!
  return Math.max(0, ms + (enterMs?.[from] ?? 0) + (exitMs?.[to] ?? 0))
}

function computeMsOf(problem: Problem, stage: PlanStage, measured: number, confidence: Confidence): number {
  const profile = profileOf(problem, stage)
  const { resource } = stage
  return stageMsAt(profile, measured, confidence) * resourceNamed(problem, resource).slowdown
}

function transferOf(problem: Problem, sender: PlanStage, stage: PlanStage, confidence: Confidence): Transfer {
  const { resource: from } = sender
  const { resource: to, from: boundary, codec = 'none' } = stage
  const link = linkFigures(linkOf(problem, from, to), confidence)
  const bytes = problem.structure.boundaries[boundary]?.bytes ?? 0
  const returnBytes = problem.structure.boundaries.at(-1)?.bytes ?? 0
  const wireBytes = wireBytesOf(problem, stage, bytes)
  const coding = (one: PlanStage, way: 'encodeMsPerMb' | 'decodeMsPerMb') =>
    codec === 'none'
      ? 0
      : ((speedOf(problem, one, codec)[way] * bytes) / 1e6) * resourceNamed(problem, one.resource).slowdown
  return {
    from,
    to,
    boundary,
    bytes,
    codec,
    wireBytes,
    encodeMs: coding(sender, 'encodeMsPerMb'),
    decodeMs: coding(stage, 'decodeMsPerMb'),
    ms: link.fixedMs + wireMs(wireBytes, link.bandwidthMbps),
    returnBytes,
    returnMs: wireMs(returnBytes, link.returnBandwidthMbps),
  }
}

/** What the codec makes of the tensors of the stage's first boundary. */
function wireBytesOf(problem: Problem, stage: PlanStage, bytes: number): number {
  const cell = cellOf(problem, stage)
  return cell ? Math.round(bytes * cell.bytesRatio) : bytes
}

function lossOf(problem: Problem, stage: PlanStage): number {
  return cellOf(problem, stage)?.accuracyLoss ?? 0
}

function cellOf(problem: Problem, { codec = 'none', from }: PlanStage) {
  if (codec === 'none') return undefined
  const calibrated = problem.codecs?.find(({ name }) => name === codec)
  const cell = calibrated?.cells.find(({ boundary }) => boundary === from)
  if (cell) return cell
  throw new ScissionError(
    'notMeasured',
    `codec ${codec} is not calibrated at boundary ${from} of this model: calibrate it there`,
  )
}

/** ms that the bytes take: bits / (10^6 bit/s · bandwidth) · 1000. */
function wireMs(bytes: number, bandwidthMbps: number): number {
  return (bytes * 8) / (bandwidthMbps * 1000)
}

/** What each resource on the path does for one request. */
function workOf(
  problem: Problem,
  parts: PlanParts,
  stageMs: readonly number[],
  transfers: readonly Transfer[],
  confidence: Confidence,
): Work[] {
  return pathOf(parts).map(({ resource }) => {
    const own = parts.stages.findIndex((stage) => stage.resource === resource)
    const arrival = transfers.find(({ to }) => to === resource)
    const departure = transfers.find(({ from }) => from === resource)
    const link = departure && linkFigures(linkOf(problem, resource, departure.to), confidence)
    return {
      resource,
      computeMs: stageMs[own] ?? 0,
      codingMs: (arrival?.decodeMs ?? 0) + (departure?.encodeMs ?? 0),
      sendMs: departure && link ? wireMs(departure.wireBytes, link.bandwidthMbps) : 0,
      sentBytes: departure?.wireBytes ?? 0,
    }
  })
}

function warningsOf(problem: Problem, parts: PlanParts): string[] {
  return warningsFrom(parts.stages.map((stage) => profileOf(problem, stage)))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
