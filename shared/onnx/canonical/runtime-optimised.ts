/**
 * Optimises a canonical graph, or a part of it, as ONNX Runtime does for serving, but for the layouts of tensors that suit
 * the machine: these change no result. Level `extended` would miss what is fused after the parts in half precision were
 * found.
 *
 * Weights above a size are turned into inputs, so that optimising never copies gigabytes: the fusions that need constant
 * weights (Conv with BatchNormalization) concern convolutions, whose weights are small.
 *
 * Layers with long lists in their attributes (tree ensembles, support vectors, encoders) are left out: they take part in no
 * optimisation, and each session would read, copy and write their megabytes. Around them, the graph has inputs and outputs.
 */
import fs from 'node:fs'
import path from 'node:path'
import { assembleGraph } from './encode-graph.ts'
import type { CanonicalGraph } from './canonicalise.ts'
import { elementTypeOf, bytesOfType, type TypedTensor } from '../wire/element-types.ts'
import { sessionType } from './working-graph.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { openSession } from '../runtime/analysis-session.ts'
import { usesOf } from './scope.ts'
import { hasLargeLists } from '../wire/large-lists.ts'
import { readSkeleton } from '../wire/skeleton.ts'
import { makeWorkFolder, withWorkFile } from './work-files.ts'

const LARGE_WEIGHT_BYTES = 16 * 1024 * 1024

export interface GraphPart {
  layers: readonly NodeProto[]
  inputs: readonly string[]
  outputs: readonly string[]
}

export interface OptimiseOptions {
  /** The layers to optimise. @defaultValue all */
  part?: GraphPart
  /** Constants above this size are replaced by inputs. @defaultValue 16 MiB */
  largeBytes?: number
}

/** @returns the nodes of the optimised graph. @throws ONNX Runtime's error. */
export async function optimise(
  canonical: CanonicalGraph,
  options: OptimiseOptions = {},
): Promise<NodeProto[]> {
  const { graph, layers } = canonical
  const whole = { layers, inputs: graph.inputs.map(({ name }) => name), outputs: graph.outputs }
  const { part, left } = withoutLargeLists(options.part ?? whole)
  if (part.layers.length === 0) return left
  const model = build(canonical, part, options.largeBytes ?? LARGE_WEIGHT_BYTES)
  const folder = makeWorkFolder()
  const saveTo = { graph: path.join(folder, 'optimised.onnx'), weights: 'optimised.weights' }
  try {
    return await withWorkFile(graph.dir, model, async (file) => {
      const session = await openSession(file, { level: 'all', portable: true, saveTo })
      await session.release()
      return [...readSkeleton(saveTo.graph).graph.node, ...left]
    })
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** @returns the part without the layers that have long lists, and these. */
function withoutLargeLists(part: GraphPart): { part: GraphPart; left: NodeProto[] } {
  const left = part.layers.filter(hasLargeLists)
  if (left.length === 0) return { part, left }
  const layers = part.layers.filter((node) => !left.includes(node))
  const made = new Set(layers.flatMap((node) => node.output))
  const read = new Set(layers.flatMap((node) => [...usesOf(node)]))
  const wanted = [...part.outputs, ...left.flatMap((node) => [...usesOf(node)])]
  const given = [...part.inputs, ...left.flatMap((node) => node.output).filter((name) => read.has(name))]
  return {
    part: { layers, inputs: given, outputs: [...new Set(wanted.filter((name) => made.has(name)))] },
    left,
  }
}

function build({ graph, prelude, types }: CanonicalGraph, part: GraphPart, largeBytes: number): Uint8Array {
  const needed = new Set(part.layers.flatMap((node) => [...usesOf(node)]))
  const replaced: TypedTensor[] = []
  const isLarge = (name: string): boolean => {
    const type = types.get(name)
    // onnxruntime-node must support graph inputs of the type.
    const isSendable = elementTypeOf(type?.code ?? 0)?.runtime !== undefined
    return type !== undefined && isSendable && (bytesOfType(type) ?? 0) > largeBytes
  }
  /** Turns the tensors into inputs if they are needed. */
  const replace = (names: readonly string[]) => {
    replaced.push(...names.filter((name) => needed.has(name)).flatMap((name) => types.get(name) ?? []))
  }
  const nodes: NodeProto[] = []
  for (const node of prelude.toReversed()) {
    if (!node.output.some((name) => needed.has(name))) continue
    if (node.output.some(isLarge)) replace(node.output)
    else {
      nodes.unshift(node)
      for (const name of usesOf(node)) needed.add(name)
    }
  }
  const constants = [...graph.constants.keys(), ...graph.sparse.keys()].filter((name) => needed.has(name))
  replace(constants.filter(isLarge))
  const kept = new Set(constants.filter((name) => !isLarge(name)))
  const inputs = part.inputs.flatMap((name) => types.get(name) ?? [])
  return assembleGraph(graph, {
    nodes: [...nodes, ...part.layers],
    inputs: [...inputs.map((type) => sessionType(graph, type)), ...replaced],
    outputs: part.outputs,
    keeps: (name) => kept.has(name),
  })
}
