/**
 * Converts the original's measurements to our contracts: a layer is one of its blocks, a boundary the gap between two blocks.
 *
 * The data is mapped so that the cost of a plan equals the original's cost:
 * - no answer is sent back: the last boundary and the model's output have 0 bytes (the layer that computes it has its size);
 * - a hop costs the full ping once, plus bytes / (bandwidth rounded to whole bytes per second);
 * - the input is an image file of 0.15 MB by default (1 MB = 10^6 bytes);
 * - sizes are those of .npy files: 4 bytes per element + 128.
 */
import { createHash } from 'node:crypto'
import type { Model, Structure } from '../contracts/model.ts'
import type { Profile } from '../contracts/profile.ts'
import type { Link } from '../contracts/resource.ts'
import { ModelId } from '../contracts/common.ts'
import { ScissionError } from '../platform/errors.ts'
import { shapesKeyOf } from '../onnx/canonical/shapes-key.ts'
import { profileId } from '../platform/redis/state.ts'
import { type Block, type Connection, type System, TIERS } from './data.ts'

/** The original's default size of an input image. */
export const DEFAULT_INPUT_BYTES = 150_000
/** Bytes per second in one Mbit/s. */
const BYTES_PER_MBIT = 125_000
const METHOD = 'imported from Scission (UCC 2020): Keras blocks, timed one by one; nothing is sent back'
const UNKNOWN_MACHINE = {
  cores: 1,
  memoryBytes: 0,
  platform: 'unknown',
  arch: 'unknown',
  node: 'none',
  onnxruntime: 'none (TensorFlow)',
}
const OPTIONS = { threads: 1, optimisation: 'all' } as const

/** A machine of the original under a name that our contracts allow. */
export interface ImportedResource {
  name: string
  /** The name in the original's data. */
  originalName: string
  tier: (typeof TIERS)[number]
  tierIndex: number
  slowdown: 1
  emulated: false
}

/**
 * Names machines in lower case, with "-" for characters that resource names must not contain: `6700k(GPU)` → `6700k-gpu`.
 * Names that would be equal get a number.
 */
export function resourcesOf(systems: readonly System[]): ImportedResource[] {
  const taken = new Set<string>()
  return systems.map(({ name: originalName, tier }) => {
    const plain = originalName
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-|-$/g, '')
    const base = (plain || tier).slice(0, 56)
    let name = base
    for (let number = 2; taken.has(name); number += 1) name = `${base}-${number}`
    taken.add(name)
    return { name, originalName, tier, tierIndex: TIERS.indexOf(tier), slowdown: 1, emulated: false }
  })
}

/**
 * The structure of a network: a chain of its blocks. There is no file, so the model id is derived from name and blocks; the
 * model can be planned with, but not deployed.
 */
export function structureOf(
  model: string,
  blocks: readonly Block[],
  inputBytes = DEFAULT_INPUT_BYTES,
): Structure {
  const identity = JSON.stringify([
    model,
    blocks.map((block) => [block.first, block.last, block.outputBytes]),
  ])
  const id = createHash('sha256').update(`scission-original ${identity}`).digest('hex')
  const inputShapes = { image: [inputBytes] }
  const outputs = blocks.map(({ first, last, outputBytes }) => ({
    name: `${first}-${last}`,
    datatype: 'FP32' as const,
    shape: [Math.max(0, outputBytes - 128) / 4],
    bytes: outputBytes,
  }))
  const image = { name: 'image', datatype: 'UINT8' as const, shape: [inputBytes], bytes: inputBytes }
  const crossing = [image, ...outputs.slice(0, -1)]
  return {
    model: ModelId.parse(id),
    shapesKey: shapesKeyOf(inputShapes),
    inputShapes,
    inputs: [image],
    outputs: outputs.slice(-1).map((output) => ({ ...output, bytes: 0 })),
    layers: outputs.map((output, index) => ({
      index,
      name: `layers ${output.name}`,
      op: 'keras::Block',
      inputs: [crossing[index]!.name],
      outputs: [output],
      weightBytes: 0,
      macs: null,
    })),
    boundaries: [
      ...crossing.map(({ name, bytes }, k) => boundaryOf(k, [name], bytes)),
      boundaryOf(blocks.length, [], 0),
    ],
    weightBytes: 0,
  }
}

function boundaryOf(k: number, tensors: string[], bytes: number): Structure['boundaries'][number] {
  return { k, tensors, bytes, single: true, clean: true, allowed: true }
}

/** The profile of a network on a machine: the original's block times, whose samples were not published. */
export function profileOf(
  structure: Pick<Structure, 'model' | 'shapesKey'>,
  resource: ImportedResource,
  blocks: readonly Block[],
  importedAt: string,
): Profile {
  const layerMs = blocks.map(({ seconds }) => seconds * 1000)
  const total = layerMs.reduce((sum, ms) => sum + ms, 0)
  const { model, shapesKey } = structure
  const identity = { model, shapesKey, resource: resource.name, options: OPTIONS }
  return {
    ...identity,
    id: profileId(identity),
    machine: { cpuModel: `${resource.originalName} (original Scission)`, ...UNKNOWN_MACHINE },
    slowdown: 1,
    emulated: false,
    method: METHOD,
    measuredAt: importedAt,
    whole: { medianMs: total, samplesMs: [], cpuMs: total },
    layerMs,
    sessionCreateMs: 0,
    peakRssBytes: 0,
    load: { loadAverage1: 0, requestsServed: 0 },
    source: 'imported',
  }
}

/** Links between the given machines; other connections of the file are left out. */
export function linksOf(
  connections: readonly Connection[],
  resources: readonly ImportedResource[],
  importedAt: string,
): Link[] {
  const names = new Map(resources.map(({ originalName, name }) => [originalName, name]))
  return connections.flatMap(({ from, to, pingMs, mbps }) => {
    const ends = { from: names.get(from), to: names.get(to) }
    if (ends.from === undefined || ends.to === undefined) return []
    const bandwidthMbps = roundHalfEven(mbps * BYTES_PER_MBIT) / BYTES_PER_MBIT
    if (!(bandwidthMbps > 0))
      throw new ScissionError('badRequest', `${from} → ${to}: ${mbps} Mbit/s is less than a byte per second`)
    return [
      {
        from: ends.from,
        to: ends.to,
        rttMs: pingMs,
        bandwidthMbps,
        returnBandwidthMbps: bandwidthMbps,
        source: 'imported' as const,
        emulated: false,
        samples: [],
        measuredAt: importedAt,
      },
    ]
  })
}

/** Rounds as Python's round() does: to the even one of two equally near integers. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  if (value - floor !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

/** The registry's record of an imported network, which has no files. */
export function modelOf(name: string, structure: Structure, importedAt: string): Model {
  const declared = ({ name, datatype, shape }: Structure['inputs'][number]) => ({ name, datatype, shape })
  return {
    id: structure.model,
    name,
    version: 1,
    bytes: 0,
    files: [],
    irVersion: 0,
    opsets: {},
    producer: 'Scission (UCC 2020)',
    inputs: structure.inputs.map(declared),
    outputs: structure.outputs.map(declared),
    inputShapes: structure.inputShapes,
    shapesKey: structure.shapesKey,
    createdAt: importedAt,
  }
}
