/**
 * The original's published measurements laid over the graphs of its 18 networks in Keras. It measured blocks between some
 * of the single-tensor cuts; inside a block its time is spread over the layers by their floating-point operations. That
 * spread is assumed, the block times are measured.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { GraphProblem } from '../../shared/planning/index.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { parseNetworks, parseProfiles, type Connection, type System } from '../../shared/original/index.ts'
import { KERAS, ORIGINAL } from '../support/material.ts'
import { KerasGraphs, type KerasRow } from '../zoo/keras-layers.ts'
import { MODEL, SHAPES, structureOf, tensor } from './planner-cases.ts'

export interface Network {
  name: string
  /** Keras' rows; row 0 is the input. */
  rows: KerasRow[]
  /** Layers after which the original cuts. */
  originalCuts: number[]
  /** Layers after which one tensor alone crosses. */
  singleCuts: number[]
}

export interface Original {
  networks: Network[]
  systems: System[]
  connections: Map<string, Connection[]>
}

/** Undefined if the data is not there. */
export function readOriginal(): Original | undefined {
  const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))
  try {
    const { models } = KerasGraphs.parse(read(KERAS.path))
    const networks = Object.entries(models).map(([name, { layers, scissionSplits }]) => ({
      name,
      rows: layers,
      originalCuts: scissionSplits,
      singleCuts: singleCutsOf(layers),
    }))
    return {
      networks,
      systems: parseProfiles(read(path.join(ORIGINAL.path, 'profiles.json'))),
      connections: parseNetworks(read(path.join(ORIGINAL.path, 'networks.json'))),
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Layers before the last after which only one tensor is still needed. */
function singleCutsOf(rows: readonly KerasRow[]): number[] {
  const lastUse = rows.map((_, index) => index)
  for (const [index, [, inputs]] of rows.entries()) for (const input of inputs) lastUse[input] = index
  return rows.flatMap((_, index) => {
    const alive = lastUse.slice(0, index + 1).filter((use) => use > index)
    return index < rows.length - 1 && alive.length === 1 ? [index] : []
  })
}

/** Bytes that the original's .npy files hold. */
function bytesOf([, , height, width, channels]: KerasRow): number {
  return 4 * height * width * channels + 128
}

const INPUT_BYTES = 150_000

/**
 * The network's layers 1..N as a structure; layer 0 is the input, which is sent if the device runs nothing.
 * @param cuts layers after which it may be cut; undefined: anywhere, through branches too.
 */
export function structureOfNetwork({ rows }: Network, cuts: readonly number[] | undefined): Structure {
  const name = (row: number) => `k${row}`
  const structure = structureOf(
    [tensor(name(0), INPUT_BYTES)],
    rows.slice(1).map((row, at) => ({
      inputs: row[1].map(name),
      outputs: [tensor(name(at + 1), bytesOf(row))],
      op: row[0],
    })),
  )
  if (cuts === undefined) return structure
  const isCut = new Set(cuts)
  // Boundary k lies after layer k of Keras, because its layer 0 is the input.
  const boundaries = structure.boundaries.map((boundary) => ({ ...boundary, allowed: isCut.has(boundary.k) }))
  return { ...structure, boundaries }
}

/** ms of layers 1..N: each block's time over its layers by floating-point operations, evenly if there are none. */
function layerMsOf({ name, rows }: Network, system: System): number[] {
  const blocks = system.models.get(name)
  if (blocks === undefined) throw new RangeError(`${system.name} was not measured with ${name}`)
  const layerMs = rows.map(() => 0)
  for (const { first, last, seconds } of blocks) {
    const own = rows.slice(first, last + 1)
    const flops = own.reduce((sum, row) => sum + row[5], 0)
    own.forEach((row, at) => {
      layerMs[first + at] = seconds * 1000 * (flops > 0 ? row[5] / flops : 1 / own.length)
    })
  }
  // Time of the input itself belongs to the first layer.
  const [input = 0, ...own] = layerMs
  return own.map((ms, at) => (at === 0 ? input + ms : ms))
}

/** Answers are not sent back, as in the original: the way back takes no time worth a digit. */
const FREE_RETURN_MBPS = 1e12

export function problemOfNetwork(
  original: Original,
  network: Network,
  structure: Structure,
  connections: readonly Connection[],
): GraphProblem {
  const tiers = ['device', 'edge', 'cloud']
  const slug = (name: string) =>
    name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replace(/-$/, '')
  return {
    structure,
    resources: original.systems.map(({ name, tier }) => ({
      name: slug(name),
      tier,
      tierIndex: tiers.indexOf(tier),
      slowdown: 1,
      emulated: false,
    })),
    profiles: original.systems.map((system) => ({
      resource: slug(system.name),
      model: MODEL,
      shapesKey: SHAPES,
      emulated: false,
      layerMs: layerMsOf(network, system),
    })),
    links: connections.map(({ from, to, pingMs, mbps }) => ({
      from: slug(from),
      to: slug(to),
      rttMs: pingMs,
      bandwidthMbps: mbps,
      returnBandwidthMbps: FREE_RETURN_MBPS,
      source: 'measured' as const,
      emulated: false,
    })),
  }
}
