/** Makes the `Layer`s of the contract from the canonical graph: names, tensors, sizes and work. */
import type { TensorSpec } from '../../contracts/common.ts'
import type { Layer, Structure } from '../../contracts/model.ts'
import { ScissionError } from '../../platform/errors.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { elementTypeOf, bytesOfType, type TypedTensor } from '../wire/element-types.ts'
import { joinedNodes } from '../canonical/join-nodes.ts'
import { macsOf } from './macs.ts'
import type { FunctionProto, NodeProto } from '../proto/onnx_pb.ts'
import { functionsByKey, operatorKeys, reachedFunctions } from '../canonical/functions.ts'
import { bodiesOf, operatorOf, partsOf, runtimeOperator, tensorsInside, usesOf } from '../canonical/scope.ts'
import { tensorBytes } from '../wire/tensor-data.ts'

/** Bytes of tensors whose shapes depend on the data, from one trial run. */
export type SeenBytes = ReadonlyMap<string, number>

/**
 * @returns the layers, and the bytes of all constants of the model, each counted once.
 * @throws ScissionError invalidModel if a layer makes a tensor of a type that cannot be sent.
 */
export function buildLayers(
  canonical: CanonicalGraph,
  seen: SeenBytes,
): Pick<Structure, 'layers' | 'weightBytes'> {
  const weights = new Weights(canonical)
  const used = new Set<string>()
  const functions = functionsByKey(canonical.graph.functions, (fn) => ({
    bytes: bytesInFunction(fn),
    hasBodies: haveBodies(fn.node),
  }))
  const called = new Set<{ bytes: number }>()
  let insideBytes = 0
  const layers = canonical.layers.map((node, index): Layer => {
    const uses = [...usesOf(node)]
    const constants = uses.filter((name) => weights.isConstant(name))
    const leaves = new Set(constants.flatMap((name) => [...weights.leavesOf(name)]))
    for (const leaf of leaves) used.add(leaf)
    const calls = reachedFunctions(functions, operatorKeys([node]))
    for (const fn of calls) called.add(fn)
    const inside = bytesInside([node])
    insideBytes += inside
    const branches = haveBodies([node]) || calls.some(({ hasBodies }) => hasBodies)
    return {
      index,
      name: node.name || node.output.find(Boolean) || `${node.opType}_${index}`,
      op: operatorOf(node),
      inputs: uses.filter((name) => !weights.isConstant(name)),
      outputs: node.output.filter(Boolean).map((name) => specOf(canonical.types.get(name), name, seen)),
      weightBytes: weights.bytes(leaves) + inside + sumOfBytes(calls),
      macs: macsOfLayer(canonical, node),
      ...(branches && { branches }),
    }
  })
  return { layers, weightBytes: weights.bytes(used) + insideBytes + sumOfBytes(called) }
}

const haveBodies = (nodes: readonly NodeProto[]): boolean => nodes.some((node) => bodiesOf(node).length > 0)

/** Those of all its nodes; null if one has no agreed count, or shapes inside are not known. */
function macsOfLayer({ graph, types }: CanonicalGraph, node: NodeProto): number | null {
  const inside = joinedNodes(graph, node) ?? [node]
  return inside.reduce<number | null>((sum, one) => {
    const macs = macsOf(one, types)
    return sum === null || macs === null ? null : sum + macs
  }, 0)
}

/** Bytes of the tensors in the attributes and bodies of nodes. */
function bytesInside(nodes: readonly Pick<NodeProto, 'attribute'>[]): number {
  return nodes.flatMap(tensorsInside).reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
}

const bytesInFunction = ({ attributeProto, node }: FunctionProto): number =>
  bytesInside([{ attribute: attributeProto }, ...node])

const sumOfBytes = (all: Iterable<{ bytes: number }>): number =>
  [...all].reduce((sum, { bytes }) => sum + bytes, 0)

/** @throws ScissionError invalidModel if the type cannot be sent. */
export function specOf(type: TypedTensor | undefined, name: string, seen: SeenBytes): TensorSpec {
  const element = elementTypeOf(type?.code ?? 0)
  if (!type || !element?.datatype) {
    const what = element?.name ?? 'unknown'
    throw new ScissionError('invalidModel', `tensor "${name}" has the type ${what}, which cannot be sent`, {
      tensor: name,
    })
  }
  const bytes = seen.get(name) ?? bytesOfType(type) ?? 0
  return {
    name,
    datatype: element.datatype,
    shape: type.shape,
    bytes,
    ...(type.anyRank && { anyRank: true }),
  }
}

/** The sizes of the constants behind a name. */
class Weights {
  readonly #canonical: CanonicalGraph
  readonly #makers = new Map<string, NodeProto>()

  constructor(canonical: CanonicalGraph) {
    this.#canonical = canonical
    for (const node of canonical.prelude) for (const output of node.output) this.#makers.set(output, node)
  }

  isConstant(name: string): boolean {
    const { constants, sparse } = this.#canonical.graph
    return constants.has(name) || sparse.has(name) || this.#makers.has(name)
  }

  /**
   * The tensors that a session holds for a constant: for a dequantised weight the quantised one and its scale; for any
   * other prelude result the result itself.
   */
  leavesOf(name: string): Set<string> {
    const maker = this.#makers.get(name)
    if (!maker || runtimeOperator(maker) !== 'DequantizeLinear') return new Set([name])
    return new Set([...usesOf(maker)].flatMap((input) => [...this.leavesOf(input)]))
  }

  bytes(names: Iterable<string>): number {
    let sum = 0
    for (const name of names) {
      const { graph, types } = this.#canonical
      const tensor = graph.constants.get(name)
      const sparse = graph.sparse.get(name)
      const type = types.get(name)
      if (sparse) for (const part of partsOf(sparse)) sum += tensorBytes(part)
      else sum += tensor ? tensorBytes(tensor) : ((type && bytesOfType(type)) ?? 0)
    }
    return sum
  }
}
