/**
 * Costs of a chain plan, straight from profiles, links and boundaries: no prefix sums, no matrices, no search. It prices
 * the plan that an id names, and it checks the optimiser: every plan that a search returns is priced here again and must
 * agree.
 */
import type { Plan, Transfer } from '../../contracts/plan.ts'
import { formatPlanId, type PlanParts, type PlanStage } from '../../contracts/plan-id.ts'
import { ScissionError } from '../../platform/errors.ts'
import {
  sum,
  type Figures,
  linkOf,
  ownOptions,
  pathOf,
  type PlanningProfile,
  type Problem,
  profileOf,
  relayProfileOf,
  resourceNamed,
  sameOptions,
  speedOf,
} from '../problem/problem.ts'
import {
  type Crossing,
  costsAt,
  intervalsOf,
  isEmulated,
  sizesOf,
  sourcesOf,
  type Stop,
  warningsOf,
} from './costs.ts'

export interface EvaluateOptions {
  /** Bound of the plan's numbers; its intervals always span both bounds. @defaultValue median */
  confidence?: 'median' | 'upper' | undefined
  /** Watts and prices. @defaultValue the problem's */
  figures?: Figures | undefined
}

/**
 * The named plan with its costs at the problem's profiles and links.
 * @throws ScissionError notFound (another model, unknown resource), notMeasured (no profile, link, calibration or coding
 * speed), invalidRange (unknown layers, a boundary that must not be cut, a stage on an earlier tier than the one before).
 * @example evaluatePlan(problem, parsePlanId(id), { confidence: 'upper' }).predictedMs
 */
export function evaluatePlan(problem: Problem, named: PlanParts, options: EvaluateOptions = {}): Plan {
  const { structure } = problem
  if (named.model !== structure.model || named.shapesKey !== structure.shapesKey)
    throw new ScissionError('notFound', `plan of model ${named.model}.${named.shapesKey}, not of this one`)
  const parts = withoutOwnOptions(problem, named)
  checkStages(problem, parts)
  const { confidence = 'median', figures = problem.figures ?? {} } = options
  const runs = parts.stages.map((stage) => runOf(problem, stage))
  const path = pathOf(parts)
  const hops = path.slice(1).map((stage, hop) => hopOf(problem, path[hop]!, stage))
  const idle = path.length - runs.length
  const journey = {
    stops: path.map(({ resource }, at) => runs[at - idle] ?? relayAt(problem, resource)),
    crossings: hops,
    answerBytes: structure.boundaries.at(-1)?.bytes ?? 0,
    figures,
  }
  const { stageMs, wire, totals } = costsAt(journey, confidence)
  return {
    id: formatPlanId(parts),
    model: structure.model,
    shapesKey: structure.shapesKey,
    source: parts.source,
    stages: runs.map(({ stage: { from, to, options: own }, resource: { name, tier } }, at) => ({
      resource: name,
      tier,
      from,
      to,
      computeMs: stageMs[at + idle]!,
      ...sizesOf(structure, [[from, to]]),
      ...(own ? { options: own } : {}),
    })),
    transfers: hops.map((hop, at) => transferOf(hop, wire[at]!, journey.answerBytes)),
    ...totals,
    ...intervalsOf(journey, confidence),
    bytes: sum(hops.map(({ wireBytes }) => wireBytes)),
    accuracyLoss: Math.min(1, sum(hops.map(({ loss }) => loss))),
    native: parts.stages.length === 1,
    emulated: isEmulated(journey),
    sources: sourcesOf(journey),
    warnings: warningsOf(journey),
  }
}

/** Drops options that are the resource's own, so that one plan has one id. */
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

/** @throws ScissionError invalidRange naming the layer, the boundary or the tiers that do not fit the model. */
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

/** The source, if it only passes the input on. */
function relayAt(problem: Problem, name: string): Stop {
  const resource = resourceNamed(problem, name)
  return { resource, runsLayers: false, profile: relayProfileOf(problem, resource), measuredMs: 0 }
}

interface Run extends Stop {
  stage: PlanStage
  profile: PlanningProfile
}

function runOf(problem: Problem, stage: PlanStage): Run {
  const { from, to } = stage
  const profile = profileOf(problem, stage)
  const { enterMs, exitMs, layerMs } = profile
  let ms = 0
  for (let layer = from; layer < to; layer += 1) ms += layerMs[layer]!
  const measuredMs = Math.max(0, ms + (enterMs?.[from] ?? 0) + (exitMs?.[to] ?? 0))
  return { stage, resource: resourceNamed(problem, stage.resource), runsLayers: true, profile, measuredMs }
}

interface Hop extends Crossing {
  boundary: number
  /** Bytes of the boundary's tensors before encoding. */
  bytes: number
  codec: string
  loss: number
}

/** The handover from one stage to the next: its codec encodes the tensors of the boundary between them. */
function hopOf(problem: Problem, sender: PlanStage, stage: PlanStage): Hop {
  const { from: boundary, codec = 'none' } = stage
  const link = linkOf(problem, sender.resource, stage.resource)
  const bytes = problem.structure.boundaries[boundary]?.bytes ?? 0
  const cell = cellOf(problem, codec, boundary)
  const codingMs = (one: PlanStage, way: 'encodeMsPerMb' | 'decodeMsPerMb') =>
    codec === 'none'
      ? 0
      : ((speedOf(problem, one, codec)[way] * bytes) / 1e6) * resourceNamed(problem, one.resource).slowdown
  return {
    link,
    boundary,
    bytes,
    codec,
    wireBytes: cell ? Math.round(bytes * cell.bytesRatio) : bytes,
    encodeMs: codingMs(sender, 'encodeMsPerMb'),
    decodeMs: codingMs(stage, 'decodeMsPerMb'),
    loss: cell?.accuracyLoss ?? 0,
  }
}

/** @throws ScissionError notMeasured for a codec that is not calibrated at the boundary. */
function cellOf({ codecs }: Problem, codec: string, boundary: number) {
  if (codec === 'none') return undefined
  const cell = codecs?.find(({ name }) => name === codec)?.cells.find((one) => one.boundary === boundary)
  if (cell) return cell
  throw new ScissionError(
    'notMeasured',
    `codec ${codec} is not calibrated at boundary ${boundary} of this model: calibrate it there`,
  )
}

function transferOf(
  hop: Hop,
  { ms, returnMs }: { ms: number; returnMs: number },
  answerBytes: number,
): Transfer {
  const { link, boundary, bytes, codec, wireBytes, encodeMs, decodeMs } = hop
  const { from, to } = link
  return {
    from,
    to,
    boundary,
    bytes,
    codec,
    wireBytes,
    encodeMs,
    decodeMs,
    ms,
    returnBytes: answerBytes,
    returnMs,
  }
}
