/** Problems for the planner's benchmark: chains, a graph of 1,000 layers, the zoo's networks; all from one seed. */
import type { GraphProblem } from '../../shared/planning/index.ts'
import type { TensorSpec } from '../../shared/contracts/common.ts'
import { ModelId, ShapesKey } from '../../shared/contracts/common.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { elements } from '../../shared/zoo/graph.ts'
import { zooGraph } from '../../shared/zoo/index.ts'

export const MODEL = ModelId.parse('ab'.repeat(32))
export const SHAPES = ShapesKey.parse('0123456789ab')

type Random = () => number

export function tensor(name: string, bytes: number): TensorSpec {
  return { name, datatype: 'FP32', shape: [Math.round(bytes / 4)], bytes }
}

export interface PlainLayer {
  inputs: string[]
  outputs: TensorSpec[]
  op?: string
}

/** A structure with its frontiers, all of them clean; what no layer takes is an output. */
export function structureOf(inputs: TensorSpec[], layers: readonly PlainLayer[]): Structure {
  const lastUse = new Map<string, number>()
  for (const [index, layer] of layers.entries()) for (const name of layer.inputs) lastUse.set(name, index)
  const outputs = layers.flatMap((layer) => layer.outputs.filter(({ name }) => !lastUse.has(name)))
  for (const { name } of outputs) lastUse.set(name, layers.length)
  let alive = inputs
  const boundaries = Array.from({ length: layers.length + 1 }, (_, k) => {
    if (k > 0) alive = [...alive, ...layers[k - 1]!.outputs]
    alive = alive.filter(({ name }) => lastUse.get(name)! >= k)
    return {
      k,
      tensors: alive.map(({ name }) => name),
      bytes: alive.reduce((sum, { bytes }) => sum + bytes, 0),
      single: alive.length === 1,
      clean: true,
      allowed: true,
    }
  })
  return {
    model: MODEL,
    shapesKey: SHAPES,
    inputShapes: {},
    inputs,
    outputs,
    layers: layers.map(({ op = 'Conv', ...layer }, index) => ({
      ...layer,
      index,
      name: `layer${index}`,
      op,
      weightBytes: 1000,
      macs: null,
    })),
    boundaries,
    weightBytes: 1000 * layers.length,
  }
}

/** Tensors shrink from 800 kB to 40 kB along the way. */
export function chainStructure(layers: number, random: Random): Structure {
  return structureOf(
    [tensor('t0', 600_000)],
    Array.from({ length: layers }, (_, at) => ({
      inputs: [`t${at}`],
      outputs: [tensor(`t${at + 1}`, sizeAt(at / layers, random))],
    })),
  )
}

/**
 * Each layer takes one or two of the last five tensors: branches and skips all along, no series of blocks.
 * @param outputs `many`: what no layer takes is an output, and the answer is large; `one`: a tensor that no layer took is
 * taken by the last one that may, and the answer is the last tensor.
 */
export function graphStructure(layers: number, random: Random, outputs: 'many' | 'one' = 'many'): Structure {
  const untaken = new Set<number>()
  return structureOf(
    [tensor('t0', 600_000)],
    Array.from({ length: layers }, (_, at) => {
      const first = Math.max(0, at - 4)
      const taken = new Set(
        Array.from({ length: random() < 0.3 ? 2 : 1 }, () => first + Math.floor(random() * (at - first + 1))),
      )
      untaken.add(at)
      if (outputs === 'one') for (const one of untaken) if (one === first || at === layers - 1) taken.add(one)
      for (const one of taken) untaken.delete(one)
      return {
        inputs: [...taken].map((one) => `t${one}`),
        outputs: [tensor(`t${at + 1}`, sizeAt(at / layers, random))],
      }
    }),
  )
}

function sizeAt(share: number, random: Random): number {
  return 4 * Math.round(200_000 * Math.exp(-3 * share) * (0.3 + random()))
}

/** A network of the zoo as it is before analysis: nothing fused, every node a layer. */
export function zooStructure(name: string): Structure {
  const graph = zooGraph(name)
  const constants = new Set([...graph.weights, ...graph.constants].map((one) => one.name))
  const bytesOf = (made: string) => 4 * elements(graph.shapes.get(made)!)
  return structureOf(
    [tensor(graph.input.name, 4 * elements(graph.input.shape))],
    graph.nodes.map((node) => ({
      inputs: node.input.filter((input) => input !== '' && !constants.has(input)),
      outputs: node.output.map((made) => tensor(made, bytesOf(made))),
      op: node.opType,
    })),
  )
}

/** ms of the whole model on a device, an edge and a cloud; the others of a tier are 10 % slower each. */
export const SPEEDS = { device: 400, edge: 100, cloud: 15 }

/**
 * Device to cloud: `slow`, by way of an edge is quicker (25 ms and 40 Mbps as against 30 ms and 20 Mbps), so that the
 * best cut of a route often leaves its edge idle, which is no plan; `quick`, nothing goes by way of an edge that does
 * not compute there.
 */
export type Direct = 'slow' | 'quick'

const DIRECT = { slow: { rttMs: 30, mbps: 20 }, quick: { rttMs: 20, mbps: 50 } }

/** One device, so many edges and clouds, with links like a home network's. */
export function problemOf(
  structure: Structure,
  edges: number,
  clouds: number,
  random: Random,
  direct: Direct = 'slow',
): GraphProblem {
  const resources = [
    { name: 'device', tier: 'device', tierIndex: 0, ms: SPEEDS.device },
    ...names('edge', edges).map((name, at) => ({
      name,
      tier: 'edge',
      tierIndex: 1,
      ms: SPEEDS.edge * (1 + at / 10),
    })),
    ...names('cloud', clouds).map((name, at) => ({
      name,
      tier: 'cloud',
      tierIndex: 2,
      ms: SPEEDS.cloud * (1 + at / 10),
    })),
  ]
  const work = structure.layers.map(() => random())
  const all = work.reduce((sum, share) => sum + share, 0)
  const link = (from: string, to: string, rttMs: number, mbps: number) => ({
    from,
    to,
    rttMs,
    bandwidthMbps: mbps,
    returnBandwidthMbps: mbps,
    source: 'measured' as const,
    emulated: false,
  })
  return {
    structure,
    resources: resources.map(({ name, tier, tierIndex }) => ({
      name,
      tier,
      tierIndex,
      slowdown: 1,
      emulated: false,
    })),
    profiles: resources.map(({ name, ms }) => ({
      resource: name,
      model: structure.model,
      shapesKey: structure.shapesKey,
      emulated: false,
      // Machines are not equally good at all layers: a factor of 0.5 to 1.5 for each.
      layerMs: work.map((share) => (ms * share * (0.5 + random())) / all),
    })),
    links: [
      ...names('edge', edges).map((edge, at) => link('device', edge, 5 + at, 50)),
      ...names('cloud', clouds).map((cloud, at) =>
        link('device', cloud, DIRECT[direct].rttMs + at, DIRECT[direct].mbps),
      ),
      ...names('edge', edges).flatMap((edge, at) =>
        names('cloud', clouds).map((cloud, to) => link(edge, cloud, 20 + at + to, 200)),
      ),
    ],
  }
}

function names(tier: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${tier}${at}`)
}
