/**
 * What the planner keeps of the documents in Redis: the fields that planning reads, nothing of how they were measured.
 * A thousand profiles of 500 layers must fit beside the code, so samples, spreads and texts stay where they are.
 */
import { z } from 'zod'
import { Calibration, CalibrationCell } from '../../../shared/contracts/calibration.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { Profile } from '../../../shared/contracts/profile.ts'
import { Link } from '../../../shared/contracts/resource.ts'

export const KeptProfile = Profile.pick({
  id: true,
  model: true,
  shapesKey: true,
  resource: true,
  options: true,
  machine: true,
  slowdown: true,
  emulated: true,
  source: true,
  layerMs: true,
  enterMs: true,
  exitMs: true,
  interval: true,
  predictionError: true,
  codecs: true,
})
export type KeptProfile = z.infer<typeof KeptProfile>

/** A link without the probes it was estimated from. */
export const KeptLink = Link.omit({ samples: true })
export type KeptLink = z.infer<typeof KeptLink>

export const KeptCalibration = Calibration.pick({
  id: true,
  model: true,
  shapesKey: true,
  state: true,
  sampleSource: true,
  createdAt: true,
}).extend({
  cells: z.array(CalibrationCell.pick({ boundary: true, codec: true, bytesRatio: true, lossBound: true })),
})
export type KeptCalibration = z.infer<typeof KeptCalibration>

export function compactProfile(profile: KeptProfile): KeptProfile {
  const { layerMs, enterMs, exitMs } = profile
  return {
    ...profile,
    layerMs: compact(layerMs),
    ...(enterMs && { enterMs: compact(enterMs) }),
    ...(exitMs && { exitMs: compact(exitMs) }),
  }
}

/**
 * A structure as planning reads it: tensors by name and size, no shapes, no reasons why a cut is not clean. A tensor is
 * named where it is made, read and alive; read from text, each of these is a string of its own, kept here as one.
 */
export function keepStructure(structure: Structure): Structure {
  const names = new Map<string, string>()
  const same = (name: string) => names.get(name) ?? (names.set(name, name), name)
  return {
    ...structure,
    layers: structure.layers.map(({ index, name, op, inputs, outputs, weightBytes }) => ({
      index,
      name: same(name),
      op: same(op),
      inputs: inputs.map(same),
      outputs: outputs.map((output) => ({
        name: same(output.name),
        datatype: output.datatype,
        shape: NO_SHAPE,
        bytes: output.bytes,
      })),
      weightBytes,
      macs: null,
    })),
    boundaries: structure.boundaries.map(({ k, tensors, bytes, single, clean, allowed }) => ({
      k,
      tensors: tensors.map(same),
      bytes,
      single,
      clean,
      allowed,
    })),
  }
}

const NO_SHAPE: number[] = []

/**
 * The same numbers at 8 bytes each. An array made elsewhere may hold them as objects of 24 bytes; one that grows from
 * nothing by numbers alone does not, and its slice has no room to spare.
 */
function compact(values: readonly number[]): number[] {
  const numbers: number[] = []
  for (const value of values) numbers.push(value)
  return numbers.slice()
}
