/**
 * A zoo graph seen as a list of Keras layers, read from its ONNX nodes alone, in the form of Keras' own lists if these
 * are present: [type, input layers, height, width, channels, kernel weights].
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { NodeProto } from '../../shared/onnx/proto/onnx_pb.ts'
import type { Shape, ZooGraph } from '../../shared/zoo/graph.ts'
import { elements } from '../../shared/zoo/graph.ts'
import { resolveZooName, type ZooName } from '../../shared/zoo/index.ts'
import { KERAS } from '../support/material.ts'

export type LayerRow = [
  type: string,
  inputs: number[],
  h: number,
  w: number,
  c: number,
  kernelWeights: number,
]

const KerasRow = z.tuple([
  z.string(),
  z.array(z.number()),
  z.number(),
  z.number(),
  z.number(),
  z.number().describe('floating-point operations, in a count of the file’s own'),
  z.number(),
])
export type KerasRow = z.infer<typeof KerasRow>
/** The file of Keras' lists: rows by network, and the layers after which the original tool cuts. */
export const KerasGraphs = z.object({
  models: z.record(z.string(), z.object({ layers: z.array(KerasRow), scissionSplits: z.array(z.number()) })),
})

export interface KerasNetwork {
  /** All rows, in the order of the list. */
  listed: LayerRow[]
  /** Without Dropout, which does nothing at inference. */
  rows: LayerRow[]
  /** Layers of `listed` at which the original tool's rule ends a block. */
  splits: number[]
  /** Number of blocks if Dropout is a part of the layer before it. */
  originalBlocks: number
}

/** Options for tests that need Keras' lists. */
export const NEEDS_KERAS = { tags: [KERAS.tag], skip: KERAS.found === undefined }

/** Keras' lists by the name in the zoo; empty if they are not present. */
export function readKerasNetworks(): Map<ZooName, KerasNetwork> {
  if (KERAS.found === undefined) return new Map()
  const { models } = KerasGraphs.parse(JSON.parse(readFileSync(KERAS.found, 'utf8')))
  const entries = Object.entries(models).map(([name, { layers, scissionSplits }]) => {
    const listed = layers.map(
      ([type, inputs, h, w, c, , weights]): LayerRow => [type, inputs, h, w, c, weights],
    )
    const { rows, position } = withoutDropout(listed)
    const originalBlocks = new Set(scissionSplits.map((layer) => position[layer])).size
    return [resolveZooName(name), { listed, rows, splits: scissionSplits, originalBlocks }] as const
  })
  return new Map(entries)
}

export function digestOf(rows: readonly LayerRow[]): string {
  return createHash('sha256').update(JSON.stringify(rows)).digest('hex')
}

/** Leaves out Dropout: its readers read its input. @returns also the position of each listed layer in the rows left. */
function withoutDropout(rows: readonly LayerRow[]): { rows: LayerRow[]; position: number[] } {
  const position: number[] = []
  const kept: LayerRow[] = []
  for (const [type, inputs, ...rest] of rows) {
    const moved = inputs.map((input) => position[input] ?? -1)
    if (type === 'dropout') position.push(moved[0] ?? -1)
    else position.push(kept.push([type, moved, ...rest]) - 1)
  }
  return { rows: kept, position }
}

/** ONNX operators of one layer → its Keras type. */
const TYPES: Record<string, string> = {
  Conv: 'conv',
  'Conv Relu': 'conv',
  'Conv Conv': 'sepconv',
  'Gemm Relu': 'dense',
  'Gemm Softmax': 'dense',
  BatchNormalization: 'bn',
  Relu: 'relu',
  Clip: 'relu',
  MaxPool: 'pool',
  AveragePool: 'pool',
  'GlobalAveragePool Flatten': 'gap',
  Pad: 'pad',
  Slice: 'crop',
  Add: 'add',
  'Mul Add': 'lambda',
  Concat: 'concat',
  Flatten: 'flatten',
  Reshape: 'reshape',
  Softmax: 'softmax',
}

export function layerRows(graph: ZooGraph): LayerRow[] {
  const weights = new Map(graph.weights.map((weight) => [weight.name, weight.shape]))
  const layers = new Map<string, NodeProto[]>()
  for (const node of graph.nodes) {
    const name = layerOf(node.name)
    layers.set(name, [...(layers.get(name) ?? []), node])
  }
  const positions = new Map([graph.input.name, ...layers.keys()].map((name, index) => [name, index]))
  const rows = [...layers].map(([name, nodes]): LayerRow => {
    const kernels = nodes.flatMap((node) => kernelsOf(node, weights))
    // From the last node back: of shortcut + scale · branch, the sum names the first, the product the second.
    const reads = nodes.toReversed().flatMap((node) => node.input.map(layerOf))
    const inputs = [...new Set(reads)].filter((read) => read !== name && read !== '')
    return [
      typeOf(nodes, kernels),
      inputs.map((input) => positions.get(input) ?? -1),
      ...size(graph.shapes.get(name)),
      kernels.reduce((sum, shape) => sum + elements(shape), 0),
    ]
  })
  return [['input', [], ...size(graph.input.shape), 0], ...rows]
}

function layerOf(name: string): string {
  return name.split('/')[0] ?? ''
}

function typeOf(nodes: readonly NodeProto[], kernels: readonly Shape[]): string {
  const operators = nodes.map((node) => node.opType).join(' ')
  const type = TYPES[operators] ?? `unknown: ${operators}`
  return type === 'conv' && groupsOf(nodes[0]) === kernels[0]?.[0] ? 'dwconv' : type
}

function groupsOf(node: NodeProto | undefined): number {
  return Number(node?.attribute.find((attribute) => attribute.name === 'group')?.i ?? 1)
}

function kernelsOf(node: NodeProto, weights: ReadonlyMap<string, Shape>): Shape[] {
  const kernel = weights.get(node.input[1] ?? '')
  return kernel !== undefined && (node.opType === 'Conv' || node.opType === 'Gemm') ? [kernel] : []
}

function size(shape: Shape | undefined): [h: number, w: number, c: number] {
  const [, channels = 0, height = 1, width = 1] = shape ?? []
  return [height, width, channels]
}
