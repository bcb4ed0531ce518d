/** Memory of stages: from the structure what they hold, from the measurement what ONNX Runtime adds to that. */
import fs from 'node:fs'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { ProfileMemory } from '../../../../shared/contracts/profile.ts'

export interface RangeMemory {
  weightBytes: number
  /** The largest sum of tensors alive at once while the range runs. */
  activationBytes: number
}

/** Of layers [from, to). A constant that two layers share counts in both. */
export function rangeMemory(structure: Structure, from: number, to: number): RangeMemory {
  const layers = structure.layers.slice(from, to)
  const weightBytes = layers.reduce((sum, layer) => sum + layer.weightBytes, 0)
  // While layer k runs, what crosses the boundary before it is alive, and so is what it makes.
  const alive = layers.map(
    (layer) =>
      (structure.boundaries[layer.index]?.bytes ?? 0) +
      layer.outputs.reduce((sum, output) => sum + output.bytes, 0),
  )
  return { weightBytes, activationBytes: Math.max(0, ...alive) }
}

/**
 * Peak memory of a process that runs the stage [from, to), in bytes: the base, the stage's activations, and its
 * weights times what loading the whole model needed per byte of its weights (packed copies beside the originals).
 */
export function stageMemory(structure: Structure, memory: ProfileMemory, from: number, to: number): number {
  const { weightBytes, activationBytes } = rangeMemory(structure, from, to)
  const beyond = Math.max(0, memory.peakBytes - memory.activationBytes)
  const perWeight = memory.weightBytes > 0 ? Math.max(1, beyond / memory.weightBytes) : 1
  return Math.round(memory.baseBytes + activationBytes + perWeight * weightBytes)
}

const KIB = 1024
/** Pages of 4 KiB on the platforms that onnxruntime-node is built for (proc(5), statm). */
const PAGE_BYTES = 4096

/** What this process holds now, pages of mapped files included. */
export function residentBytes(): number {
  try {
    return Number(fs.readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * PAGE_BYTES
  } catch {
    return process.memoryUsage().rss // Not Linux: slower, but the same figure.
  }
}

/** The most this process has held so far. */
export const peakResidentBytes = (): number => process.resourceUsage().maxRSS * KIB
