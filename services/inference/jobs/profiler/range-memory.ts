/** Memory of layer ranges and of this process. */
import fs from 'node:fs'
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
  return { weightBytes, activationBytes: Math.max(0, ...alive) }
}

const KIB = 1024
/** Pages of 4 KiB on the platforms that onnxruntime-node is built for (proc(5), statm). */
const PAGE_BYTES = 4096

/** Resident memory of this process in bytes, pages of mapped files included. */
export function residentBytes(): number {
  try {
    return Number(fs.readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * PAGE_BYTES
  } catch {
    return process.memoryUsage().rss // Not Linux: slower, but the same figure.
  }
}

/** Peak of the resident memory of this process so far, in bytes. */
export const peakResidentBytes = (): number => process.resourceUsage().maxRSS * KIB
