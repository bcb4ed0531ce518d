/**
 * What a graph plan costs, layer by layer and tensor by tensor from profiles, links and the structure: no groups, no
 * cuts, no sums shared with the search, which every plan returned must agree with.
 *
 * Latency = Σ layerMs · slowdown + per hop round trip + cost per message + bytes · 8 / bandwidth + answer · 8 / return
 * bandwidth. A tensor crosses a link once, whatever number of layers beyond need it; what the model has put out
 * already travels on to the end, as in the chain view.
 */
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { formatPlanId } from '../../../shared/plan-id.ts'
import { linkFigures, stageBound } from './confidence.ts'
import { energyOf, priceOf } from './figures.ts'
import { figuresFor, type GraphProblem, type GraphQuery } from './graph-world.ts'
import { lastNeeded, type Tensors, tensorsOf } from './graph-tensors.ts'
import type { PlanningLink, PlanningProfile, PlanningResource } from './problem.ts'

/** A place as a plan names it. */
export interface Station {
  resource: PlanningResource
  /** Undefined where nothing runs. */
  profile: PlanningProfile | undefined
  /** Set when they are not the resource's own. */
  options: RuntimeOptions | undefined
}

export interface GraphStage {
  resource: string
  tier: string
  /** [from, to) of the canonical order, ascending. */
  layers: [from: number, to: number][]
  computeMs: number
  weightBytes: number
  /** Weights and the most bytes of tensors alive while one of its layers runs, counted as in the chain view. */
  memoryBytes: number
  options?: RuntimeOptions
}

export interface GraphTransfer {
  from: string
  to: string
  tensors: string[]
  bytes: number
  ms: number
  returnBytes: number
  returnMs: number
}

export interface GraphPlan {
  /** Only of a plan that can be deployed: the chain plan that it is. */
  id?: string
  /** True when every stage is a range of the canonical order and every cut between them is allowed. */
  deployable: boolean
  model: string
  shapesKey: string
  source: string
  stages: GraphStage[]
  transfers: GraphTransfer[]
  computeMs: number
  transferMs: number
  predictedMs: number
  /** The slowest stage or transfer there and back. */
  bottleneckMs: number
  /** Over all links, request direction. */
  bytes: number
  /** Per request; absent without watts. */
  energyJ?: number
  /** Per request; absent without prices. */
  price?: number
  native: boolean
  emulated: boolean
}

/**
 * @param stations the source's first, even if it runs nothing.
 * @param placement per layer its station.
 */
export function evaluateGraphPlan(
  problem: GraphProblem,
  query: Pick<
    GraphQuery,
    'confidence' | 'busyWatts' | 'idleWatts' | 'transmitWatts' | 'pricePerSecond' | 'pricePerGb'
  >,
  stations: readonly Station[],
  placement: Uint8Array,
): GraphPlan {
  const confidence = query.confidence ?? 'median'
  const tensors = tensorsOf(problem.structure)
  const held = stations.map((): number[] => [])
  for (let layer = 0; layer < placement.length; layer += 1) held[placement[layer]!]!.push(layer)
  const stages = stations.map((station, at) => stageOf(problem, tensors, confidence, station, held[at]!))
  const links = stations.slice(1).map((station, hop) => linkOf(problem, stations[hop]!, station))
  const last = lastNeeded(tensors, placement, stations.length - 1)
  const transfers = links.map((link, hop) =>
    transferOf(tensors, confidence, link, crossingOf(tensors, held, last, hop)),
  )
  const computeMs = total(stages.map((stage) => stage.computeMs))
  const transferMs = total(transfers.map(({ transfer }) => transfer.ms + transfer.returnMs))
  const used = stages.filter((stage) => stage.layers.length > 0)
  const id = planIdOf(problem, stations, used)
  const work = stages.map(({ resource, computeMs: ms }, at) => ({
    resource,
    computeMs: ms,
    codingMs: 0,
    sendMs: transfers[at]?.sendMs ?? 0,
    sentBytes: transfers[at]?.transfer.bytes ?? 0,
  }))
  const figures = figuresFor(problem, query)
  return {
    ...(id === undefined ? {} : { id }),
    deployable: id !== undefined,
    model: problem.structure.model,
    shapesKey: problem.structure.shapesKey,
    source: stations[0]!.resource.name,
    stages: used,
    transfers: transfers.map(({ transfer }) => transfer),
    computeMs,
    transferMs,
    predictedMs: computeMs + transferMs,
    bottleneckMs: Math.max(
      ...used.map((stage) => stage.computeMs),
      ...transfers.map(({ transfer }) => transfer.ms + transfer.returnMs),
    ),
    bytes: total(transfers.map(({ transfer }) => transfer.bytes)),
    ...energyOf(work, computeMs + transferMs, figures),
    ...priceOf(work, figures),
    native: used.length === 1,
    emulated: isEmulated(stations, stages, links),
  }
}

function stageOf(
  { structure }: GraphProblem,
  { aliveBytes }: Tensors,
  confidence: 'median' | 'upper',
  { resource, profile, options }: Station,
  own: readonly number[],
): GraphStage {
  const { factor, fixedMs } = profile ? stageBound(profile, confidence) : { factor: 1, fixedMs: 0 }
  let layerMs = profile || own.length === 0 ? 0 : Number.NaN
  let weightBytes = 0
  let most = 0
  const times = profile?.layerMs ?? []
  for (const layer of own) {
    layerMs += times[layer]!
    weightBytes += structure.layers[layer]!.weightBytes
    if (aliveBytes[layer]! > most) most = aliveBytes[layer]!
  }
  return {
    resource: resource.name,
    tier: resource.tier,
    layers: runsOf(own),
    computeMs: own.length === 0 ? 0 : (layerMs * factor + fixedMs) * resource.slowdown,
    weightBytes,
    memoryBytes: weightBytes + most,
    ...(options ? { options } : {}),
  }
}

/** Ascending layers as ranges. */
function runsOf(layers: readonly number[]): [number, number][] {
  const runs: [number, number][] = []
  let begin = 0
  for (let at = 1; at <= layers.length; at += 1) {
    if (at < layers.length && layers[at] === layers[at - 1]! + 1) continue
    runs.push([layers[begin]!, layers[at - 1]! + 1])
    begin = at
  }
  return runs
}

/** Indices of the tensors that cross a hop: made up to there, and needed beyond. */
function crossingOf(
  { inputs, first }: Tensors,
  held: readonly number[][],
  last: Int32Array,
  hop: number,
): number[] {
  const crossing: number[] = []
  for (let tensor = 0; tensor < inputs; tensor += 1) if (last[tensor]! > hop) crossing.push(tensor)
  for (let station = 0; station <= hop; station += 1)
    for (const layer of held[station]!)
      for (let tensor = first[layer]!; tensor < first[layer + 1]!; tensor += 1)
        if (last[tensor]! > hop) crossing.push(tensor)
  return crossing
}

function transferOf(
  { specs, answerBytes }: Tensors,
  confidence: 'median' | 'upper',
  link: PlanningLink,
  crossing: readonly number[],
): { transfer: GraphTransfer; sendMs: number } {
  const { fixedMs, bandwidthMbps, returnBandwidthMbps } = linkFigures(link, confidence)
  const bytes = total(crossing.map((tensor) => specs[tensor]!.bytes))
  const sendMs = wireMs(bytes, bandwidthMbps)
  const transfer = {
    from: link.from,
    to: link.to,
    tensors: crossing.map((tensor) => specs[tensor]!.name),
    bytes,
    ms: fixedMs + sendMs,
    returnBytes: answerBytes,
    returnMs: wireMs(answerBytes, returnBandwidthMbps),
  }
  return { transfer, sendMs }
}

/** ms that the bytes take: bits / (10^6 bit/s · bandwidth) · 1000. */
function wireMs(bytes: number, bandwidthMbps: number): number {
  return (bytes * 8) / (bandwidthMbps * 1000)
}

function linkOf(problem: GraphProblem, from: Station, to: Station): PlanningLink {
  const found = problem.links.find((link) => link.from === from.resource.name && link.to === to.resource.name)
  if (found) return found
  throw new ScissionError(
    'internal',
    `a plan crosses ${from.resource.name} → ${to.resource.name}: no such link`,
  )
}

/** The id of the chain plan with the same stages; undefined when they are no ranges or a cut must not be made. */
function planIdOf(
  { structure }: GraphProblem,
  stations: readonly Station[],
  stages: readonly GraphStage[],
): string | undefined {
  let end = 0
  for (const { layers } of stages) {
    const [run] = layers
    if (layers.length !== 1 || run?.[0] !== end || !(end === 0 || structure.boundaries[end]!.allowed))
      return undefined
    end = run[1]
  }
  return formatPlanId({
    model: structure.model,
    shapesKey: structure.shapesKey,
    source: stations[0]!.resource.name,
    stages: stages.map(({ resource, layers, options }) => ({
      resource,
      from: layers[0]![0],
      to: layers[0]![1],
      options,
    })),
  })
}

function isEmulated(
  stations: readonly Station[],
  stages: readonly GraphStage[],
  links: readonly PlanningLink[],
): boolean {
  const slowed = stations.some(
    ({ resource, profile }, at) =>
      stages[at]!.layers.length > 0 &&
      (resource.emulated || resource.slowdown !== 1 || (profile?.emulated ?? false)),
  )
  return slowed || links.some((link) => link.emulated)
}

export function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
