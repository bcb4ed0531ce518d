/** Machines, links and profiles as people write them by hand: the least that can be planned with. Times are ms. */
import { z } from 'zod'
import { InputShapes, mbps, ms, ResourceName, TierName } from './common.ts'
import { RuntimeOptions } from './resource.ts'

export const PlainMachine = z
  .strictObject({ name: ResourceName, tier: TierName })
  .meta({ id: 'PlainMachine', examples: [{ name: 'lab-pi', tier: 'device' }] })

export const PlainLink = z
  .strictObject({
    from: ResourceName,
    to: ResourceName,
    rttMs: ms,
    bandwidthMbps: mbps,
    /** The way back. Default: as fast. */
    returnBandwidthMbps: mbps.optional(),
  })
  .meta({ id: 'PlainLink', examples: [{ from: 'lab-pi', to: 'lab-server', rttMs: 20, bandwidthMbps: 8 }] })

export const PlainProfile = z
  .strictObject({
    /** Id, name or name@version of a model that was uploaded. */
    model: z.string().min(1).max(200),
    resource: ResourceName,
    /** One time per layer, in the order of `scission layers MODEL`. */
    layerMs: z.array(ms).min(1).max(100_000),
    /** Makes a machine of the resource, if there is none of that name. */
    tier: TierName.optional(),
    /** The times are multiplied by it. */
    slowdown: z.number().positive().max(1e6).optional(),
    /** Of a model with open dimensions, or other than its own: they must have been analysed. */
    inputShapes: InputShapes.optional(),
    /** Runtime options that it was measured with. Default: those of the resource. */
    threads: RuntimeOptions.shape.threads.removeDefault().optional(),
    optimisation: RuntimeOptions.shape.optimisation.removeDefault().optional(),
  })
  .meta({ id: 'PlainProfile', examples: [{ model: 'mymodel', resource: 'lab-pi', layerMs: [1.5, 2, 0.5] }] })
export type PlainProfile = z.infer<typeof PlainProfile>

const KINDS = ['machines', 'links', 'profiles'] as const

export const PlainDocument = z
  .strictObject({
    machines: z.array(PlainMachine).default([]),
    links: z.array(PlainLink).default([]),
    profiles: z.array(PlainProfile).default([]),
  })
  .meta({ id: 'PlainDocument' })
export type PlainDocument = z.infer<typeof PlainDocument>

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * A plain document, or a list or a single one of its parts, as a document: a part with `from` is a link, one with `layerMs` or
 * `resource` a profile, one with `name` a machine.
 * @returns unchecked; undefined if it is something else, for example a profile as this program measured it.
 */
export function asPlainDocument(body: unknown): object | undefined {
  if (isObject(body) && KINDS.some((kind) => kind in body)) return body
  const parts = Array.isArray(body) ? body : [body]
  const kinds = parts.map(kindOf)
  if (parts.length === 0 || kinds.includes(undefined)) return undefined
  return Object.fromEntries(KINDS.map((kind) => [kind, parts.filter((_, at) => kinds[at] === kind)]))
}

function kindOf(part: unknown): (typeof KINDS)[number] | undefined {
  // A measured profile has these beside the fields of a plain one.
  if (!isObject(part) || ['id', 'shapesKey', 'whole', 'items', 'systems'].some((field) => field in part))
    return undefined
  if ('from' in part || 'to' in part) return 'links'
  if ('layerMs' in part || 'resource' in part) return 'profiles'
  return 'name' in part ? 'machines' : undefined
}
