/**
 * One example of each document that a client writes or first reads, by the name of its contract, for the OpenAPI
 * descriptions. A test holds each to its contract.
 */
import type { z } from 'zod'
import type { CalibrationRequest } from './calibration.ts'
import type { InputShapes, TensorSpec } from './common.ts'
import type { UploadedModel } from './model.ts'
import type { Deployment, DeploymentRequest, PlanQuery } from './plan.ts'
import type { SweepRequest } from './plan-sweep.ts'
import type { Benchmark, BenchmarkRequest } from './profile.ts'
import type { Link, ResourceView } from './resource.ts'

const id = '5fd4b8a2f0d1d3f1c5e0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8'
const shapesKey = '0a1b2c3d4e5f'
const at = '2026-01-01T12:00:00.000Z'
const input = { name: 'input_1', datatype: 'FP32', shape: [1, 3, 224, 224] } as const
const output = { name: 'predictions', datatype: 'FP32', shape: [1, 1000] } as const

interface Examples {
  BenchmarkRequest: z.input<typeof BenchmarkRequest>
  CalibrationRequest: z.input<typeof CalibrationRequest>
  PlanQuery: z.input<typeof PlanQuery>
  SweepRequest: z.input<typeof SweepRequest>
  DeploymentRequest: z.input<typeof DeploymentRequest>
  InputShapes: z.input<typeof InputShapes>
  TensorSpec: z.input<typeof TensorSpec>
  UploadedModel: z.input<typeof UploadedModel>
  Benchmark: z.input<typeof Benchmark>
  ResourceView: z.input<typeof ResourceView>
  Link: z.input<typeof Link>
  Deployment: z.input<typeof Deployment>
}

export const EXAMPLES: Examples = {
  BenchmarkRequest: { model: 'mobilenetv2', resources: ['device', 'edge'] },
  CalibrationRequest: { model: 'mobilenetv2', codecs: ['q8', 'q8-zstd'], madeUp: { samples: 16, seed: 1 } },
  PlanQuery: {
    model: 'mobilenetv2',
    objective: 'latency',
    top: 3,
    maxTierMs: { device: 20 },
    network: 'wifi',
  },
  SweepRequest: {
    query: { model: 'mobilenetv2' },
    axes: [
      { vary: 'bandwidthMbps', values: [1, 10, 100] },
      { vary: 'slowdown', resources: ['device'], values: [1, 4] },
    ],
  },
  DeploymentRequest: { plan: 'an id that a plan has', name: 'mobilenet-split', fallback: 'native' },
  InputShapes: { input_1: [1, 3, 224, 224] },
  TensorSpec: { ...input, shape: [...input.shape], bytes: 602_112 },
  UploadedModel: {
    id,
    name: 'mobilenetv2',
    version: 1,
    bytes: 14_000_000,
    files: [{ path: 'model.onnx', bytes: 14_000_000, sha256: id }],
    irVersion: 8,
    opsets: { '': 17 },
    producer: 'scission',
    inputs: [{ ...input, shape: ['batch', 3, 224, 224] }],
    outputs: [{ ...output, shape: ['batch', 1000] }],
    inputShapes: { input_1: [1, 3, 224, 224] },
    shapesKey,
    createdAt: at,
    layers: 100,
    cuts: { single: [1, 2, 63], clean: [1, 63] },
    openDimensions: [],
  },
  Benchmark: {
    id: 'b1',
    model: id,
    shapesKey,
    state: 'active',
    progress: { fraction: 0.4, step: 'measuring cuts', remainingMs: 1500 },
    parts: [{ resource: 'device', state: 'active', progress: { fraction: 0.4, step: 'measuring cuts' } }],
    notes: [],
    createdAt: at,
  },
  ResourceView: {
    name: 'edge',
    tier: 'edge',
    tierIndex: 1,
    url: 'http://192.0.2.7:8090',
    machine: {
      cpuModel: 'some CPU',
      cores: 4,
      memoryBytes: 8_000_000_000,
      platform: 'linux',
      arch: 'arm64',
      node: 'v22.0.0',
      onnxruntime: '1.30.0',
    },
    options: { threads: 1, optimisation: 'all' },
    slowdown: 1,
    emulated: false,
    startedAt: at,
    heartbeatAt: at,
    alive: true,
  },
  Link: {
    from: 'device',
    to: 'edge',
    rttMs: 8,
    bandwidthMbps: 40,
    returnBandwidthMbps: 80,
    source: 'measured',
    emulated: false,
    samples: [],
    measuredAt: at,
  },
  Deployment: {
    id: 'mobilenet-split',
    planId: 'an id that a plan has',
    model: id,
    shapesKey,
    entry: { resource: 'device', url: 'http://192.0.2.6:8090' },
    hops: [
      { resource: 'device', from: 0, to: 63 },
      { resource: 'edge', from: 63, to: 100, codec: 'q8-zstd' },
    ],
    predictedMs: 31.5,
    emulated: false,
    state: 'ready',
    createdAt: at,
  },
}
