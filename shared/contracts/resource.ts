/** Machines and the links between them. */
import { z } from 'zod'
import { byteCount, mbps, ms, ResourceName, TierName, timestamp } from './common.ts'

export const OPTIMISATION_LEVELS = ['disabled', 'basic', 'extended', 'all'] as const
/** ONNX Runtime options that change how fast a layer runs: part of a profile's identity. */
export const RuntimeOptions = z.object({
  /** Intra-op threads of one session. */
  threads: z.number().int().min(1).max(256).default(1),
  optimisation: z.enum(OPTIMISATION_LEVELS).default('all'),
})
export type RuntimeOptions = z.infer<typeof RuntimeOptions>

export const Machine = z.object({
  cpuModel: z.string(),
  cores: z.number().int().positive(),
  memoryBytes: byteCount,
  platform: z.string(),
  arch: z.string(),
  node: z.string(),
  onnxruntime: z.string(),
})
export type Machine = z.infer<typeof Machine>

/** One running inference service. */
export const Resource = z.object({
  name: ResourceName,
  tier: TierName,
  /** Position of the tier in the ordered list of tiers, 0 = device. */
  tierIndex: z.number().int().nonnegative(),
  /** Where clients reach it. Peers behind an emulated link use a route instead. */
  url: z.url(),
  machine: Machine,
  options: RuntimeOptions,
  /** 1 = this machine's own speed; above 1 the executor waits, and everything measured here is emulated. */
  slowdown: z.number().min(1).max(1000),
  emulated: z.boolean(),
  startedAt: timestamp,
  heartbeatAt: timestamp,
})
export type Resource = z.infer<typeof Resource>

/** A resource as the API shows it: `alive` is false once three heartbeats were missed. */
export const ResourceView = Resource.extend({ alive: z.boolean() })
export type ResourceView = z.infer<typeof ResourceView>

/** What an emulated link is set to. */
export const LinkEmulation = z.object({
  preset: z.string().optional(),
  rttMs: ms,
  /** Towards the higher tier. */
  upMbps: mbps,
  downMbps: mbps,
})
export type LinkEmulation = z.infer<typeof LinkEmulation>

/** Directed: a connection opened by `from`. Time for a request of b bytes answered by r bytes = rttMs + b·8/bandwidth + r·8/returnBandwidth. */
export const Link = z.object({
  from: ResourceName,
  to: ResourceName,
  rttMs: ms,
  /** from → to. */
  bandwidthMbps: mbps,
  /** to → from, on the same connection. */
  returnBandwidthMbps: mbps,
  source: z.enum(['measured', 'override', 'preset']),
  /** Set when the bytes pass the link emulator. */
  emulated: z.boolean(),
  emulation: LinkEmulation.optional(),
  samples: z.array(z.object({ bytes: byteCount, direction: z.enum(['up', 'down']), ms })).default([]),
  measuredAt: timestamp,
})
export type Link = z.infer<typeof Link>
