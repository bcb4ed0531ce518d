/**
 * The parts of Redis documents that the planner keeps in memory: the fields that planning reads, without samples, spreads
 * and texts. A thousand profiles of 500 layers must fit into the memory of one process.
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { Calibration, CalibrationCell } from '../../../shared/contracts/calibration.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { ANY_PROFILE_LISTS, Profile, PROFILE_LISTS } from '../../../shared/contracts/profile.ts'
import { Link } from '../../../shared/contracts/resource.ts'
import { nextTurn } from '../../../shared/platform/turns.ts'
import { linkFaults, profileFaults, sensible } from '../../../shared/contracts/sense.ts'

const PlannedProfile = Profile.pick({
  id: true,
  model: true,
  shapesKey: true,
  resource: true,
  options: true,
  machine: true,
  slowdown: true,
  emulated: true,
  source: true,
  samples: true,
  layerMs: true,
  enterMs: true,
  exitMs: true,
  interval: true,
  predictionError: true,
  pace: true,
  codecs: true,
})
export const MirroredProfile = sensible(PlannedProfile, profileFaults)
const { layers: _layers, ...plannedLists } = ANY_PROFILE_LISTS
export const LONG_MIRRORED_PROFILE = {
  lists: PROFILE_LISTS,
  frame: sensible(PlannedProfile.extend(plannedLists), profileFaults),
}
export type MirroredProfile = z.infer<typeof MirroredProfile>

/** A link without the probes it was estimated from. */
export const MirroredLink = sensible(Link.omit({ samples: true }), linkFaults)
export type MirroredLink = z.infer<typeof MirroredLink>

/** True if plans take the same: what is measured beneath an override counts only once that is deleted. */
export const isSameLink = (before: MirroredLink, after: MirroredLink): boolean =>
  isDeepStrictEqual({ ...before, overridden: undefined }, { ...after, overridden: undefined })

export const MirroredCalibration = Calibration.pick({
  id: true,
  model: true,
  shapesKey: true,
  state: true,
  sampleSource: true,
  createdAt: true,
}).extend({
  cells: z.array(
    CalibrationCell.pick({
      boundary: true,
      codec: true,
      bytesRatio: true,
      lossBound: true,
      relativeErrorBound: true,
    }),
  ),
})
export type MirroredCalibration = z.infer<typeof MirroredCalibration>

/** The profile with its arrays of numbers stored at 8 bytes each. */
export function compactProfile(profile: MirroredProfile): MirroredProfile {
  const { layerMs, enterMs, exitMs } = profile
  return {
    ...profile,
    layerMs: compact(layerMs),
    ...(enterMs && { enterMs: compact(enterMs) }),
    ...(exitMs && { exitMs: compact(exitMs) }),
  }
}

/**
 * A structure as planning reads it: tensors by name and size, without shapes and without the reasons why a cut is not
 * clean. JSON parsing makes a new string for every mention of a tensor; here all mentions share one string.
 */
export async function planningStructure(structure: Structure): Promise<Structure> {
  const names = new Map<string, string>()
  const same = (name: string) => names.get(name) ?? (names.set(name, name), name)
  return {
    ...structure,
    layers: await mapInTurns(structure.layers, ({ index, name, op, inputs, outputs, weightBytes }) => ({
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
    boundaries: await mapInTurns(structure.boundaries, ({ k, tensors, bytes, single, clean, allowed }) => ({
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
const PIECE_ELEMENTS = 1000

/** A piece at a time, so that nobody else waits for that of 100,000 layers. */
async function mapInTurns<T, R>(list: readonly T[], change: (element: T) => R): Promise<R[]> {
  const changed: R[] = []
  for (const element of list) {
    changed.push(change(element))
    if (changed.length % PIECE_ELEMENTS === 0) await nextTurn()
  }
  return changed
}

/**
 * Copies numbers into an array that stores them at 8 bytes each. V8 may hold the numbers of a parsed array as objects of
 * 24 bytes; an array that only ever grew by numbers does not, and its slice has no spare capacity.
 */
function compact(values: readonly number[]): number[] {
  const numbers: number[] = []
  for (const value of values) numbers.push(value)
  return numbers.slice()
}
