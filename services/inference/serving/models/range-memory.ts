/** Memory that layer ranges take, as far as a structure tells. */
import type { Structure } from '../../../../shared/contracts/model.ts'

/**
 * Memory of layers [from, to): their weights, and the largest sum of tensors alive at once while they run. A shared constant
 * counts in each of its layers.
 */
export function rangeMemory(structure: Structure, from: number, to: number) {
  const layers = structure.layers.slice(from, to)
  const weightBytes = layers.reduce((sum, layer) => sum + layer.weightBytes, 0)
  // While a layer runs, the tensors of the boundary before it and its own outputs are alive.
  const alive = layers.map(
    (layer) =>
      (structure.boundaries[layer.index]?.bytes ?? 0) +
      layer.outputs.reduce((sum, output) => sum + output.bytes, 0),
  )
  return { weightBytes, activationBytes: alive.reduce((most, bytes) => Math.max(most, bytes), 0) }
}

/** Of a session without weights and with small tensors: 60 of ten layers took 200 kB each (ONNX Runtime 1.30). */
const SESSION_BYTES = 256 * 1024

/** What a session of layers [from, to) holds while it is loaded: ONNX Runtime keeps the memory of its tensors for the next run. */
export function sessionBytes(structure: Structure, from: number, to: number): number {
  const { weightBytes, activationBytes } = rangeMemory(structure, from, to)
  return SESSION_BYTES + weightBytes + activationBytes
}
