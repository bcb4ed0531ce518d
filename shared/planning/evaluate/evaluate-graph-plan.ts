/**
 * What a graph plan costs, layer by layer and tensor by tensor from profiles, links and the structure: no groups, no
 * cuts, no sums shared with the search, which every plan returned must agree with.
 *
 * Latency = Σ layerMs · slowdown + per hop round trip + cost per message + bytes · 8 / bandwidth + answer · 8 / return
 * bandwidth. A tensor crosses a link once, whatever number of layers beyond need it; what the model has put out
 * already travels on to the end, as in the chain view.
 */
import type { GraphPlan, GraphStage, GraphTransfer } from '../../contracts/graph-plan.ts'
import type { RuntimeOptions } from '../../contracts/resource.ts'
import { ScissionError } from '../../platform/errors.ts'
import { formatPlanId } from '../../contracts/plan-id.ts'
import { type Bounded, type Confidence, intervalsOf, linkFigures, stageMsAt } from '../problem/confidence.ts'
import { energyOf, priceOf } from '../problem/figures.ts'
import { figuresFor, type GraphProblem, type GraphQuery } from '../graph/graph-instance.ts'
import { lastNeeded, type Tensors, tensorsOf } from './tensors.ts'
import { warningsFrom } from '../problem/lookup.ts'
import type { Figures, PlanningLink, PlanningProfile, PlanningResource } from '../problem/problem.ts'

/** A place as a plan names it. */
export interface Station {
  resource: PlanningResource
  /** Undefined where nothing runs. */
  profile: PlanningProfile | undefined
  /** Set when they are not the resource's own. */
  options: RuntimeOptions | undefined
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
  const tensors = tensorsOf(problem.structure)
  const held = stations.map((): number[] => [])
  for (let layer = 0; layer < placement.length; layer += 1) held[placement[layer]!]!.push(layer)
  const last = lastNeeded(tensors, placement, stations.length - 1)
  const loads = stations.map((station, at) => loadOf(problem, station, held[at]!))
  const hops = stations.slice(1).map((station, hop) => {
    const crossing = crossingOf(tensors, held, last, hop)
    const bytes = total(crossing.map((tensor) => tensors.specs[tensor]!.bytes))
    return { link: linkOf(problem, stations[hop]!, station), crossing, bytes }
  })
  const figures = figuresFor(problem, query)
  const way = { loads, hops, answerBytes: tensors.answerBytes, figures }
  const costs = costsAt(way, query.confidence ?? 'median')
  const used = loads.flatMap((load, at) =>
    load.layers.length > 0 ? [stageOf(problem, tensors, load, costs.stageMs[at]!)] : [],
  )
  const id = planIdOf(problem, stations, used)
  return {
    ...(id === undefined ? {} : { id }),
    deployable: id !== undefined,
    model: problem.structure.model,
    shapesKey: problem.structure.shapesKey,
    source: stations[0]!.resource.name,
    stages: used,
    transfers: hops.map((hop, at) => transferOf(tensors, hop, costs.times[at]!)),
    computeMs: costs.computeMs,
    transferMs: costs.transferMs,
    predictedMs: costs.predictedMs,
    ...intervalsOf(costsAt(way, 'lower'), costsAt(way, 'upper')),
    bottleneckMs: costs.bottleneckMs,
    bytes: total(hops.map(({ bytes }) => bytes)),
    ...(costs.energyJ === undefined ? {} : { energyJ: costs.energyJ }),
    ...(costs.price === undefined ? {} : { price: costs.price }),
    native: used.length === 1,
    emulated: isEmulated(loads, hops),
    warnings: warningsFrom(
      loads.flatMap(({ layers, station: { profile } }) => (layers.length > 0 && profile ? [profile] : [])),
    ),
  }
}

/** What a station holds, and the sum of its layers' times as they were measured. */
interface Load {
  station: Station
  layers: readonly number[]
  layerMs: number
}

/** What crosses a link: indices of tensors. */
interface GraphHop {
  link: PlanningLink
  crossing: readonly number[]
  bytes: number
}

interface Way {
  loads: readonly Load[]
  hops: readonly GraphHop[]
  answerBytes: number
  figures: Figures
}

interface HopTimes {
  ms: number
  sendMs: number
  returnMs: number
}

interface CostsAtBound extends Bounded {
  stageMs: number[]
  times: HopTimes[]
  computeMs: number
  transferMs: number
}

/** All that is made of times, each of them at the bound. */
function costsAt({ loads, hops, answerBytes, figures }: Way, confidence: Confidence): CostsAtBound {
  const stageMs = loads.map(({ station: { profile, resource }, layers, layerMs }) =>
    layers.length === 0 || !profile ? 0 : stageMsAt(profile, layerMs, confidence) * resource.slowdown,
  )
  const times = hops.map(({ link, bytes }) => {
    const { fixedMs, bandwidthMbps, returnBandwidthMbps } = linkFigures(link, confidence)
    const sendMs = wireMs(bytes, bandwidthMbps)
    return { ms: fixedMs + sendMs, sendMs, returnMs: wireMs(answerBytes, returnBandwidthMbps) }
  })
  const computeMs = total(stageMs)
  const transferMs = total(times.map(({ ms, returnMs }) => ms + returnMs))
  const predictedMs = computeMs + transferMs
  const work = loads.map(({ station }, at) => ({
    resource: station.resource.name,
    computeMs: stageMs[at]!,
    codingMs: 0,
    sendMs: times[at]?.sendMs ?? 0,
    sentBytes: hops[at]?.bytes ?? 0,
  }))
  return {
    stageMs,
    times,
    computeMs,
    transferMs,
    predictedMs,
    bottleneckMs: Math.max(...stageMs, ...times.map(({ ms, returnMs }) => ms + returnMs)),
    ...energyOf(work, predictedMs, figures),
    ...priceOf(work, figures),
  }
}

function loadOf({ structure }: GraphProblem, station: Station, layers: readonly number[]): Load {
  const { profile, resource } = station
  if (layers.length > 0 && !profile)
    throw new ScissionError(
      'internal',
      `a plan runs ${layers.length} of ${structure.layers.length} layers on ${resource.name}: no profile`,
    )
  return { station, layers, layerMs: total(layers.map((layer) => profile?.layerMs[layer] ?? 0)) }
}

function stageOf(
  { structure }: GraphProblem,
  { aliveBytes }: Tensors,
  { station: { resource, options }, layers }: Load,
  computeMs: number,
): GraphStage {
  let weightBytes = 0
  let most = 0
  for (const layer of layers) {
    weightBytes += structure.layers[layer]!.weightBytes
    if (aliveBytes[layer]! > most) most = aliveBytes[layer]!
  }
  return {
    resource: resource.name,
    tier: resource.tier,
    layers: runsOf(layers),
    computeMs,
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
  { link, crossing, bytes }: GraphHop,
  { ms, returnMs }: HopTimes,
): GraphTransfer {
  return {
    from: link.from,
    to: link.to,
    tensors: crossing.map((tensor) => specs[tensor]!.name),
    bytes,
    ms,
    returnBytes: answerBytes,
    returnMs,
  }
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

function isEmulated(loads: readonly Load[], hops: readonly GraphHop[]): boolean {
  const slowed = loads.some(
    ({ station: { resource, profile }, layers }) =>
      layers.length > 0 && (resource.emulated || resource.slowdown !== 1 || (profile?.emulated ?? false)),
  )
  return slowed || hops.some(({ link }) => link.emulated)
}

export function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
