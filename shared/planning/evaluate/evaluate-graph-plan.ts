/**
 * Costs of a graph plan, layer by layer and tensor by tensor from profiles, links and the structure: no groups, no cuts,
 * no sums shared with the search, which every plan that it returns must agree with.
 *
 * A tensor crosses a link once, however many layers beyond the link need it. Outputs of the model travel on to the last
 * stop, as in the chain view.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import { formatPlanId } from '../../contracts/plan-id.ts'
import type { RuntimeOptions } from '../../contracts/resource.ts'
import { ScissionError } from '../../platform/errors.ts'
import {
  type Figures,
  type GraphProblem,
  linkOf,
  type PlanningProfile,
  type PlanningResource,
  sum,
} from '../problem/problem.ts'
import { costsAt, intervalsOf, isEmulated, sizesOf, sourcesOf, type Stop, warningsOf } from './costs.ts'

type GraphStructure = GraphProblem['structure']

/** A resource with runtime options. */
export interface GraphRunner {
  resource: PlanningResource
  /** Undefined on a source that cannot run the model. */
  profile: PlanningProfile | undefined
  /** Set if they are not the resource's own. */
  options: RuntimeOptions | undefined
}

/**
 * @param runners the stops of the request: the source first, even if it runs nothing.
 * @param placement per layer, index of its stop.
 */
export function evaluateGraphPlan(
  problem: GraphProblem,
  runners: readonly GraphRunner[],
  placement: Uint8Array,
  { confidence, figures }: { confidence: 'median' | 'upper'; figures: Figures },
): GraphPlan {
  const { structure } = problem
  const tensors = tensorsOf(structure)
  const rangesAt = rangesOf(placement, runners.length)
  const hops = runners.slice(1).map((runner, hop) => {
    const crossing = crossingOf(tensors, rangesAt, placement, hop)
    const wireBytes = sum(crossing.map((tensor) => tensors.specs[tensor]!.bytes))
    return {
      link: linkOf(problem, runners[hop]!.resource.name, runner.resource.name),
      wireBytes,
      encodeMs: 0,
      decodeMs: 0,
      crossing,
    }
  })
  const journey = {
    stops: runners.map((runner, at) => stopOf(structure, runner, rangesAt[at]!)),
    crossings: hops,
    answerBytes: tensors.answerBytes,
    figures,
  }
  const { stageMs, wire, totals } = costsAt(journey, confidence)
  const stages = runners.flatMap(({ resource, options }, at) => {
    const layers = rangesAt[at]!
    if (layers.length === 0) return []
    const { weightBytes, memoryBytes } = sizesOf(structure, layers)
    const { name, tier } = resource
    const stage = { resource: name, tier, layers, computeMs: stageMs[at]!, weightBytes, memoryBytes }
    return [options ? { ...stage, options } : stage]
  })
  const source = runners[0]!.resource.name
  const id = planIdOf(structure, source, stages)
  const { interval, typicalInterval, intervals, moves } = intervalsOf(journey, confidence)
  // Named one by one: a literal into which others are spread takes as long as all that is computed for it.
  const plan: GraphPlan = {
    deployable: id !== undefined,
    model: structure.model,
    shapesKey: structure.shapesKey,
    source,
    stages,
    transfers: hops.map(({ link: { from, to }, crossing, wireBytes }, at) => ({
      from,
      to,
      tensors: crossing.map((tensor) => tensors.specs[tensor]!.name),
      bytes: wireBytes,
      ms: wire[at]!.ms,
      returnBytes: tensors.answerBytes,
      returnMs: wire[at]!.returnMs,
    })),
    computeMs: totals.computeMs,
    transferMs: totals.transferMs,
    predictedMs: totals.predictedMs,
    interval,
    typicalInterval,
    intervals,
    moves,
    bottleneckMs: totals.bottleneckMs,
    bytes: sum(hops.map(({ wireBytes }) => wireBytes)),
    native: stages.length === 1,
    emulated: isEmulated(journey),
    sources: sourcesOf(journey),
    warnings: warningsOf(journey),
  }
  if (totals.relayMs !== undefined) plan.relayMs = totals.relayMs
  if (totals.energyJ !== undefined) plan.energyJ = totals.energyJ
  if (totals.price !== undefined) plan.price = totals.price
  return id === undefined ? plan : { id, ...plan }
}

type Ranges = [from: number, to: number][]

/** @param ranges of the layers that the stop runs. */
function stopOf(structure: GraphStructure, { profile, resource }: GraphRunner, ranges: Ranges): Stop {
  if (ranges.length === 0) return { resource, runsLayers: false, profile, measuredMs: 0 }
  if (profile === undefined)
    throw new ScissionError(
      'internal',
      `a plan runs ${sum(ranges.map(([from, to]) => to - from))} of ${structure.layers.length} layers on ` +
        `${resource.name}: no profile`,
    )
  let measuredMs = 0
  for (const [from, to] of ranges)
    for (let layer = from; layer < to; layer += 1) measuredMs += profile.layerMs[layer]!
  return { resource, runsLayers: true, profile, measuredMs }
}

/** Per stop, its layers as ranges [from, to). */
function rangesOf(placement: Uint8Array, stops: number): Ranges[] {
  const ranges = Array.from({ length: stops }, (): Ranges => [])
  let from = 0
  for (let layer = 1; layer <= placement.length; layer += 1) {
    if (layer < placement.length && placement[layer] === placement[from]) continue
    ranges[placement[from]!]!.push([from, layer])
    from = layer
  }
  return ranges
}

/** Indices of the tensors that cross a hop: made at the stops before it, and needed beyond it. */
function crossingOf(
  tensors: Tensors,
  rangesAt: readonly Ranges[],
  placement: Uint8Array,
  hop: number,
): number[] {
  const { inputs, first } = tensors
  const crossing: number[] = []
  const add = (begin: number, end: number) => {
    for (let tensor = begin; tensor < end; tensor += 1)
      if (isNeededBeyond(tensors, placement, tensor, hop)) crossing.push(tensor)
  }
  add(0, inputs)
  for (let stop = 0; stop <= hop; stop += 1)
    for (const [from, to] of rangesAt[stop]!) add(first[from]!, first[to]!)
  return crossing
}

/** Outputs are needed at the last stop, which is beyond every hop. */
function isNeededBeyond(
  { users, consumers, isOutput }: Tensors,
  placement: Uint8Array,
  tensor: number,
  hop: number,
): boolean {
  if (isOutput[tensor] === 1) return true
  for (let at = users[tensor]!; at < users[tensor + 1]!; at += 1)
    if (placement[consumers[at]!]! > hop) return true
  return false
}

/** The id of the chain plan with the same stages; undefined if a stage is no range or a cut is not allowed. */
function planIdOf(
  { model, shapesKey, boundaries }: GraphStructure,
  source: string,
  stages: GraphPlan['stages'],
): string | undefined {
  let end = 0
  for (const { layers } of stages) {
    const [range] = layers
    if (layers.length !== 1 || range?.[0] !== end || !(end === 0 || boundaries[end]!.allowed))
      return undefined
    end = range[1]
  }
  const parts = stages.map(({ resource, layers, options }) => ({
    resource,
    from: layers[0]![0],
    to: layers[0]![1],
    options,
  }))
  return formatPlanId({ model, shapesKey, source, stages: parts })
}

/** A structure's tensors by number instead of by name. */
interface Tensors {
  /** The model's inputs, then the outputs of each layer. */
  specs: readonly { name: string; bytes: number }[]
  /** Number of the model's inputs. */
  inputs: number
  /** Tensors of layer v: `first[v]..first[v + 1]`. */
  first: Int32Array
  /** Consumers of tensor t: `consumers[users[t]..users[t + 1]]`, ascending. */
  users: Int32Array
  consumers: Int32Array
  /** 1 for the model's outputs, which all travel to the last stop. */
  isOutput: Uint8Array
  answerBytes: number
}

const numbered = new WeakMap<GraphStructure, Tensors>()

function tensorsOf(structure: GraphStructure): Tensors {
  const known = numbered.get(structure)
  if (known) return known
  const made = numberTensors(structure)
  numbered.set(structure, made)
  return made
}

function numberTensors({ inputs, outputs, layers }: GraphStructure): Tensors {
  const specs = [...inputs, ...layers.flatMap((layer) => layer.outputs)]
  const first = new Int32Array(layers.length + 1).fill(inputs.length)
  const byName = new Map(specs.map(({ name }, tensor) => [name, tensor]))
  const takers = specs.map((): number[] => [])
  layers.forEach((layer, index) => {
    first[index + 1] = first[index]! + layer.outputs.length
    for (const name of layer.inputs) takers[byName.get(name) ?? -1]?.push(index)
  })
  const users = new Int32Array(specs.length + 1)
  takers.forEach((own, tensor) => {
    users[tensor + 1] = users[tensor]! + own.length
  })
  const isOutput = new Uint8Array(specs.length)
  for (const { name } of outputs) isOutput[byName.get(name)!] = 1
  const answerBytes = outputs.reduce((sum, { bytes }) => sum + bytes, 0)
  return {
    specs,
    inputs: inputs.length,
    first,
    users,
    consumers: Int32Array.from(takers.flat()),
    isOutput,
    answerBytes,
  }
}
