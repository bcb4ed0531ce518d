/**
 * Finds the layers that ONNX Runtime would run as one operator, from a graph that it has optimised (runtime-optimised.ts).
 *
 * A tensor that survives the optimisation keeps its name; a layer whose input did not survive was merged with the layer
 * that made it. So the layers behind each surviving tensor, back to the next surviving ones, form one group. This needs no
 * list of fusion patterns and follows the runtime's version.
 *
 * One rule is added: at level `all`, on most machines, a convolution also includes the residual Add after it and that Add's
 * activation (NchwcTransformer in onnxruntime/core/optimizer/nchwc_transformer.cc).
 */
import type { FusedGroup, Fusions } from './boundaries.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { makersOf, onnxOperator, runtimeOperator, usesOf } from '../canonical/scope.ts'

/** @param optimised the nodes that ONNX Runtime makes of the whole graph. */
export function findFusions(canonical: CanonicalGraph, optimised: readonly NodeProto[]): Fusions {
  const groups = groupsOf(canonical, optimised)
  return {
    groups: [...groups, ...residualGroups(canonical, groups)],
    unrounded: unrounded(canonical, optimised),
  }
}

/** The layers behind each surviving tensor, back to the next surviving ones. */
function groupsOf({ graph, layers }: CanonicalGraph, optimised: readonly NodeProto[]): FusedGroup[] {
  const maker = makersOf(layers)
  const survived = new Set(graph.inputs.map((input) => input.name))
  for (const node of optimised) for (const output of node.output) survived.add(originalName(output))
  return optimised.flatMap((node) => {
    const members = new Set<number>()
    const pending = node.output.map(originalName).filter((name) => maker.has(name))
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const index = maker.get(name)
      const layer = layers[index ?? -1]
      if (index === undefined || !layer || members.has(index)) continue
      members.add(index)
      for (const input of usesOf(layer)) if (!survived.has(input)) pending.push(input)
    }
    const real = [...members].filter((index) => !isPassThrough(layers[index]))
    if (real.length < 2) return []
    const quantised = real.some((index) => isQuantised(layers[index]))
    return [{ layers: real, operator: node.opType, quantised }]
  })
}

/**
 * Prefix of tensors that ONNX Runtime computes in 32 bits because the processor has no half-precision kernel
 * (onnxruntime/core/optimizer/insert_cast_transformer.cc).
 */
const UNROUNDED = 'InsertedPrecisionFreeCast_'

function originalName(name: string): string {
  return name.startsWith(UNROUNDED) ? name.slice(UNROUNDED.length) : name
}

/** Half-precision tensors that later layers read in 32 bits, before they were rounded to 16. */
function unrounded({ layers }: CanonicalGraph, optimised: readonly NodeProto[]): Set<string> {
  const names = new Set<string>()
  for (const node of optimised) {
    for (const output of node.output) {
      const tensor = originalName(output)
      // A Cast of the rounded tensor itself loses nothing.
      if (tensor !== output && !node.input.includes(tensor)) names.add(tensor)
    }
  }
  for (const node of layers)
    if (isPassThrough(node) && names.has(node.input[0] ?? '')) names.add(node.output[0] ?? '')
  return names
}

/** Tells whether a layer passes its input through: merging with it has no effect. */
export function isPassThrough(node: NodeProto | undefined): boolean {
  const operator = onnxOperator(node)
  return operator === 'Identity' || operator === 'Dropout'
}

function isQuantised(node: NodeProto | undefined): boolean {
  return /quantize|integer|^qlinear/i.test(runtimeOperator(node) ?? '')
}

const ACTIVATIONS = new Set(['Relu', 'Clip', 'Sigmoid', 'Tanh', 'LeakyRelu', 'HardSigmoid'])

/** Conv → Add (→ activation), if nothing else uses the convolution's own result. */
function residualGroups({ layers, types }: CanonicalGraph, groups: readonly FusedGroup[]): FusedGroup[] {
  const maker = makersOf(layers)
  const readers = new Map<string, number[]>()
  for (const [index, node] of layers.entries())
    for (const name of usesOf(node)) {
      const all = readers.get(name)
      if (all) all.push(index)
      else readers.set(name, [index])
    }
  const onlyReader = (name: string): number | undefined => {
    const all = readers.get(name) ?? []
    return all.length === 1 ? all[0] : undefined
  }
  /** The layers of the convolution that makes `name`, absorbed normalisation included. */
  const convolution = (name: string): readonly number[] | undefined => {
    const index = maker.get(name)
    if (index === undefined || onlyReader(name) === undefined) return undefined
    if (onnxOperator(layers[index]) === 'Conv') return [index]
    const group = groups.find(
      (candidate) => candidate.operator === 'Conv' && candidate.layers.includes(index),
    )
    return group?.layers
  }
  return layers.flatMap((node, index) => {
    const operator = onnxOperator(node)
    if ((operator !== 'Add' && operator !== 'Sum') || node.input.length !== 2) return []
    const [a, b] = node.input.map((name) => types.get(name)?.shape.join())
    if (a !== b) return []
    const candidates = node.input.flatMap((name) => convolution(name) ?? [])
    if (candidates.length === 0) return []
    const conv = Math.max(...candidates)
    const next = onlyReader(node.output[0] ?? '')
    const activation = next !== undefined && ACTIVATIONS.has(onnxOperator(layers[next]) ?? '') ? [next] : []
    return [{ layers: [conv, index, ...activation], operator: 'convolution with residual', quantised: false }]
  })
}
