/** Machines, whether they are alive and how they differ, and the links between them. */
import { z } from 'zod'
import { Pace } from './pace.ts'
import { byteCount, mbps, ms, ResourceName, ServiceUrl, TierName, timestamp } from './common.ts'

export const OPTIMISATION_LEVELS = ['disabled', 'basic', 'extended', 'all'] as const
/** ONNX Runtime options that change the speed of a layer: part of a profile's identity. */
export const RuntimeOptions = z.object({
  /** Intra-op threads of one session. */
  threads: z.number().int().min(1).max(256).default(1),
  optimisation: z.enum(OPTIMISATION_LEVELS).default('all'),
})
export type RuntimeOptions = z.infer<typeof RuntimeOptions>

const MAX_CORES = 100_000
const fact = z.string().max(500)

export const Machine = z.object({
  cpuModel: fact,
  cores: z.number().int().positive().max(MAX_CORES),
  memoryBytes: byteCount,
  platform: fact,
  arch: fact,
  node: fact,
  onnxruntime: fact,
  /** Settings of the memory allocator (MALLOC_…, LD_PRELOAD, GLIBC_TUNABLES), which change the cost of large tensors. */
  allocator: z.record(z.string(), z.string()).optional(),
})
export type Machine = z.infer<typeof Machine>

/** For the JSON of a message between machines: names, shapes, parameters, reports of hops. */
export const MESSAGE_JSON_BYTES = 64 * 1024

/** What a resource refuses to serve, whatever is planned. Absent in records of earlier versions and of imported machines. */
export const ServingLimits = z.object({
  /** Longest message of a deployment, and most bytes of its tensors: SCISSION_BODY_MEMORY_BYTES. */
  messageBytes: byteCount,
  /** Memory in which the layers of a stage must load and run: SCISSION_TRIAL_MEMORY_BYTES. */
  stageBytes: byteCount,
  /** It waits so long for the hops behind it: SCISSION_HOP_TIMEOUT_MS. */
  hopTimeoutMs: ms,
})
export type ServingLimits = z.infer<typeof ServingLimits>

/** More tiers than any system has. */
const MAX_TIERS = 100

/** One running inference service. */
export const Resource = z.object({
  name: ResourceName,
  tier: TierName,
  /** Position of the tier in the ordered list of tiers, 0 = device. */
  tierIndex: z
    .number()
    .int()
    .nonnegative()
    .max(MAX_TIERS - 1),
  /** URL for clients. Peers behind an emulated link use a route instead. */
  url: ServiceUrl,
  /** At which the other services call it, if it has a door of its own for them. */
  internalUrl: ServiceUrl.optional(),
  machine: Machine,
  options: RuntimeOptions,
  /** 1 = this machine's own speed; above 1 the executor waits, and everything measured here is emulated. */
  slowdown: z.number().min(1).max(1000),
  emulated: z.boolean(),
  limits: ServingLimits.optional(),
  /** By Redis' clock, as `heartbeatAt`. */
  startedAt: timestamp,
  heartbeatAt: timestamp,
  /** Tells this run of the service from every other one. Absent in records of earlier versions and of imported machines. */
  instance: fact.optional(),
  /** Tells the operating system that it runs in, until its next boot, from others. */
  host: fact.optional(),
  /**
   * `imported`: a machine measured by another system, without a service. Plans can use it for models of which it has
   * profiles; it is never alive, so nothing is measured on it or deployed to it. Absent = service.
   */
  source: z.enum(['service', 'imported']).optional(),
})
export type Resource = z.infer<typeof Resource>

/** A resource in API answers: `alive` is false after three missed heartbeats. */
export const ResourceView = Resource.extend({
  alive: z.boolean(),
  /** Age of the last heartbeat, by Redis' clock. */
  silentMs: ms.optional(),
  /** How fast it is now; absent if it has not told yet. */
  pace: Pace.optional(),
})
export type ResourceView = z.infer<typeof ResourceView>

/** A resource is lost after this many missed heartbeats. */
export const MISSED_HEARTBEATS = 3

/**
 * Whether its service sent a heartbeat lately. An imported resource has no service and is never alive.
 * @param now epoch milliseconds of Redis' clock, by which heartbeats are told.
 */
export function isAlive(resource: Resource, heartbeatMs: number, now: number): boolean {
  const silentMs = now - Date.parse(resource.heartbeatAt)
  return resource.source !== 'imported' && silentMs <= MISSED_HEARTBEATS * heartbeatMs
}

/** Adds `alive`. @param now as `isAlive`. */
export function withLiveness(resource: Resource, heartbeatMs: number, now: number): ResourceView {
  return { ...resource, alive: isAlive(resource, heartbeatMs, now) }
}

const MACHINE_FIELDS: Record<keyof Machine, string> = {
  cpuModel: 'CPU',
  cores: 'cores',
  memoryBytes: 'bytes of memory',
  platform: 'platform',
  arch: 'architecture',
  node: 'Node',
  onnxruntime: 'ONNX Runtime',
  allocator: 'allocator settings',
}

type MeasuredOn = Pick<Resource, 'machine' | 'slowdown'>

/** Compares what a profile was measured on with a resource as it is now. @returns a text per difference: "CPU A, not B". */
export function machineDifferences(measured: MeasuredOn, resource: MeasuredOn): string[] {
  const fields = Object.keys(MACHINE_FIELDS) as (keyof Machine)[]
  const differing = fields.flatMap((field) => {
    const [then, now] = [measured.machine[field], resource.machine[field]].map((value) =>
      typeof value === 'object' ? JSON.stringify(value) : (value ?? 'none'),
    )
    return then === now ? [] : [`${MACHINE_FIELDS[field]} ${then}, not ${now}`]
  })
  const slowdown =
    measured.slowdown === resource.slowdown ? [] : [`slowdown ${measured.slowdown}, not ${resource.slowdown}`]
  return [...differing, ...slowdown]
}

/**
 * Where a figure comes from: measured by a service, given (for a link itself, or by a preset), or imported. What is measured
 * may still be emulated.
 */
export const FigureSource = z.enum(['measured', 'override', 'preset', 'imported'])
export type FigureSource = z.infer<typeof FigureSource>

/** Settings of an emulated link. */
export const LinkEmulation = z.object({
  preset: z.string().optional(),
  rttMs: ms,
  /** The part of `rttMs` that lies beyond the access network: another preset does not replace it. */
  extraRttMs: ms.optional(),
  /** Towards the higher tier. */
  upMbps: mbps,
  downMbps: mbps,
})
export type LinkEmulation = z.infer<typeof LinkEmulation>

const uncertainMbps = z.number().nonnegative().max(1e9)

/** Half-widths of the intervals that hold the true values in 95 % of cases. */
const LinkUncertainty = z.object({
  rttMs: ms,
  bandwidthMbps: uncertainMbps,
  returnBandwidthMbps: uncertainMbps,
  perMessageMs: ms.optional(),
})

/**
 * Directed: a connection opened by `from`. Time for a request of b bytes answered by r bytes =
 * rttMs + perMessageMs + b·8/bandwidth + r·8/returnBandwidth.
 */
const LinkFigures = z.object({
  from: ResourceName,
  to: ResourceName,
  rttMs: ms,
  /** from → to. */
  bandwidthMbps: mbps,
  /** to → from, on the same connection. */
  returnBandwidthMbps: mbps,
  /** Cost of a message beyond the round trip, independent of its size: writing, parsing, waking up. Absent = 0. */
  perMessageMs: ms.optional(),
  /** 95 % of single messages take at most so many ms more or less than that. Absent = 0. */
  jitterMs: ms.optional(),
  /** Absent if nothing was measured: an override or a preset. */
  uncertainty: LinkUncertainty.optional(),
  /** Number of active probes and of messages of real traffic behind the figures. */
  basis: z
    .object({ probes: z.number().int().nonnegative(), traffic: z.number().int().nonnegative() })
    .optional(),
  source: FigureSource,
  /** True if the bytes pass the link emulator. */
  emulated: z.boolean(),
  emulation: LinkEmulation.optional(),
  measuredAt: timestamp,
})

/** What holds again once an override is deleted. */
export const OverriddenLink = LinkFigures
export type OverriddenLink = z.infer<typeof OverriddenLink>

export const Link = LinkFigures.extend({
  samples: z.array(z.object({ bytes: byteCount, direction: z.enum(['up', 'down']), ms })).default([]),
  /** Of an override: what was measured or imported last, and is measured meanwhile. Absent if nothing was. */
  overridden: OverriddenLink.optional(),
})
export type Link = z.infer<typeof Link>

/** A link in API answers: `ageMs` since it was measured, by Redis' clock. */
export const LinkView = Link.extend({ ageMs: ms })
export type LinkView = z.infer<typeof LinkView>

/** What became of a link whose override was to be deleted. */
export const ForgottenLink = z
  .object({
    link: Link.optional().describe('as plans take it now; absent if it is not known'),
    note: z.string().describe('in words: what holds now, and who measures it if nothing does'),
  })
  .meta({ id: 'ForgottenLink' })
export type ForgottenLink = z.infer<typeof ForgottenLink>

/** What overrides a link. */
export const LinkSettings = z
  .strictObject({ rttMs: ms, bandwidthMbps: mbps, returnBandwidthMbps: mbps.optional() })
  .meta({
    id: 'LinkSettings',
    description: 'Without `returnBandwidthMbps` the way back is as fast',
    examples: [{ rttMs: 20, bandwidthMbps: 5 }],
  })
export type LinkSettings = z.infer<typeof LinkSettings>
