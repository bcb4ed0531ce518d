/** A structure's tensors by number instead of by name, for pricing plans: made once per structure. */
import type { GraphStructure } from '../graph/compile-graph.ts'

export interface Tensors {
  /** The model's inputs, then what each layer makes. */
  specs: readonly { name: string; bytes: number }[]
  /** How many of them are inputs of the model. */
  inputs: number
  /** Tensors of layer v: `first[v]..first[v + 1]`. */
  first: Int32Array
  /** Consumers of tensor t: `consumers[users[t]..users[t + 1]]`, ascending. */
  users: Int32Array
  consumers: Int32Array
  /** 1 for the model's outputs, which all travel to the end. */
  isOutput: Uint8Array
  answerBytes: number
  /** Per layer, the bytes of tensors alive while it runs: those of the boundary before it and its own. */
  aliveBytes: Float64Array
}

const kept = new WeakMap<GraphStructure, Tensors>()

export function tensorsOf(structure: GraphStructure): Tensors {
  const known = kept.get(structure)
  if (known) return known
  const made = number(structure)
  kept.set(structure, made)
  return made
}

/** Per tensor the last station that needs it; -1 where none does. */
export function lastNeeded(tensors: Tensors, placement: Uint8Array, end: number): Int32Array {
  const { specs, users, consumers, isOutput } = tensors
  const last = new Int32Array(specs.length)
  for (let tensor = 0, at = 0; tensor < last.length; tensor += 1) {
    let most = isOutput[tensor] === 1 ? end : -1
    for (const behind = users[tensor + 1]!; at < behind; at += 1) {
      const place = placement[consumers[at]!]!
      if (place > most) most = place
    }
    last[tensor] = most
  }
  return last
}

function number({ inputs, outputs, layers, boundaries }: GraphStructure): Tensors {
  const specs = [...inputs, ...layers.flatMap((layer) => layer.outputs)]
  const first = new Int32Array(layers.length + 1).fill(inputs.length)
  const byName = new Map(specs.map(({ name }, tensor) => [name, tensor]))
  const takers = specs.map((): number[] => [])
  const aliveBytes = new Float64Array(layers.length)
  layers.forEach((layer, index) => {
    first[index + 1] = first[index]! + layer.outputs.length
    aliveBytes[index] = layer.outputs.reduce((sum, { bytes }) => sum + bytes, boundaries[index]!.bytes)
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
    aliveBytes,
  }
}
