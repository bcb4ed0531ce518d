/** Small, valid documents for tests of the services: a chain of four layers and three machines. */
import type { z } from 'zod'
import { Calibration } from '../../shared/contracts/calibration.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { Model, Structure as StructureSchema } from '../../shared/contracts/model.ts'
import { Deployment } from '../../shared/contracts/plan.ts'
import { Profile } from '../../shared/contracts/profile.ts'
import { Link, Resource } from '../../shared/contracts/resource.ts'
import { shapesKeyOf } from '../../shared/onnx/canonical/shapes-key.ts'
import { profileId } from '../../shared/platform/redis/state.ts'

export const MODEL_ID = 'a'.repeat(64)
const SHAPES_KEY = shapesKeyOf({ x: [1, 250] })
/** Nothing listens here. */
export const NOBODY = 'http://127.0.0.1:1'

export function exampleModel(changes: Partial<Model> = {}): Model {
  return Model.parse({
    id: MODEL_ID,
    name: 'chain',
    version: 1,
    bytes: 1000,
    files: [{ path: 'model.onnx', bytes: 1000, sha256: MODEL_ID }],
    irVersion: 8,
    opsets: { '': 17 },
    producer: 'test',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 250] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 10] }],
    inputShapes: { x: [1, 250] },
    shapesKey: SHAPES_KEY,
    createdAt: new Date().toISOString(),
    ...changes,
  })
}

/** x (1000 B) → t0 (400 B) → t1 (40 B) → t2 (4000 B) → y (40 B); every boundary a clean cut. */
export function exampleStructure(): Structure {
  const sizes = [1000, 400, 40, 4000, 40]
  const names = ['x', 't0', 't1', 't2', 'y']
  const spec = (at: number) => ({
    name: names[at],
    datatype: 'FP32',
    shape: [1, (sizes[at] ?? 0) / 4],
    bytes: sizes[at],
  })
  return StructureSchema.parse({
    model: MODEL_ID,
    shapesKey: SHAPES_KEY,
    inputShapes: { x: [1, 250] },
    inputs: [spec(0)],
    outputs: [spec(4)],
    layers: [0, 1, 2, 3].map((index) => ({
      index,
      name: `layer${index}`,
      op: 'Relu',
      inputs: [names[index]],
      outputs: [spec(index + 1)],
      weightBytes: 0,
      macs: null,
    })),
    boundaries: sizes.map((bytes, k) => ({
      k,
      tensors: [names[k]],
      bytes,
      single: true,
      clean: true,
      allowed: true,
    })),
    weightBytes: 0,
  })
}

const MACHINE = {
  cpuModel: 'test',
  cores: 1,
  memoryBytes: 1e9,
  platform: 'linux',
  arch: 'x64',
  node: 'v20',
  onnxruntime: '1.30.0',
}
const TIERS = ['device', 'edge', 'cloud']
const OPTIONS = { threads: 1, optimisation: 'all' as const }

/** Alive for as long as any test takes: no service sends heartbeats for it. */
const ALIVE_MS = 3_600_000

export function exampleResource(tier: string, changes: Partial<Resource> = {}): Resource {
  const now = new Date()
  return Resource.parse({
    name: tier,
    tier,
    tierIndex: TIERS.indexOf(tier),
    url: NOBODY,
    machine: MACHINE,
    options: OPTIONS,
    slowdown: 1,
    emulated: false,
    startedAt: now.toISOString(),
    heartbeatAt: new Date(now.getTime() + ALIVE_MS).toISOString(),
    ...changes,
  })
}

export function exampleProfile(resource: string, layerMs: number[], changes: Partial<Profile> = {}): Profile {
  const total = layerMs.reduce((sum, ms) => sum + ms, 0)
  const identity = {
    model: exampleModel().id,
    shapesKey: exampleStructure().shapesKey,
    resource,
    options: OPTIONS,
  }
  return Profile.parse({
    ...identity,
    id: profileId(identity),
    machine: MACHINE,
    slowdown: 1,
    emulated: false,
    method: 'made up for a test',
    measuredAt: new Date().toISOString(),
    whole: { medianMs: total, samplesMs: [total], cpuMs: total },
    layerMs,
    sessionCreateMs: 1,
    peakRssBytes: 1,
    load: { loadAverage1: 0, requestsServed: 0 },
    ...changes,
  })
}

export function exampleLink(from: string, to: string, changes: Partial<Link> = {}): Link {
  return Link.parse({
    from,
    to,
    rttMs: 1,
    bandwidthMbps: 8,
    returnBandwidthMbps: 8,
    source: 'measured',
    emulated: false,
    measuredAt: new Date().toISOString(),
    ...changes,
  })
}

export type Hop = Deployment['hops'][number]

/** Layers from..to-1 on a resource. */
export const hop = (resource: string, from: number, to: number, more: Partial<Hop> = {}): Hop => ({
  resource,
  from,
  to,
  ...more,
})

/** A deployment of the example model that is ready. The first hop is its entry, with the address NOBODY. */
export function exampleDeployment(
  id: string,
  hops: readonly Hop[],
  changes: Partial<z.input<typeof Deployment>> = {},
): Deployment {
  return Deployment.parse({
    id,
    planId: `plan-${hops.map(({ resource, from, to }) => `${resource}-${from}-${to}`).join('-')}`,
    model: MODEL_ID,
    shapesKey: SHAPES_KEY,
    entry: { resource: hops[0]?.resource, url: NOBODY },
    hops,
    predictedMs: 1,
    emulated: false,
    state: 'ready',
    createdAt: new Date().toISOString(),
    ...changes,
  })
}

export function exampleCalibration(id: string, changes: Partial<Calibration> = {}): Calibration {
  return Calibration.parse({
    id,
    model: MODEL_ID,
    shapesKey: SHAPES_KEY,
    resource: 'edge',
    codecs: ['q8'],
    boundaries: [1],
    samples: 1,
    sampleSource: 'made-up',
    labelled: false,
    state: 'waiting',
    progress: { fraction: 0, step: 'waiting' },
    cells: [],
    notes: [],
    createdAt: new Date().toISOString(),
    ...changes,
  })
}
