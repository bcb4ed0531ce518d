/**
 * Hypothetical conditions of a query: a slower network, no edge, a device twice as fast. They last as long as the query;
 * nothing stored changes, and every plan made with them is marked emulated.
 */
import { z } from 'zod'
import { NETWORK_NAMES } from './network-presets.ts'
import { ResourceName } from './common.ts'
import { figures, inUrl, nameList, numeric, pairsOf } from './query-values.ts'

/** `device>edge`: directed, in the direction of a request. */
const LinkName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}>[a-z0-9][a-z0-9-]{0,62}$/, 'a link is written <resource>><resource>')

/** Missing figures stay as measured; a link that was never measured needs all three figures or a preset. */
export const LinkChange = z
  .strictObject({
    preset: z.enum(NETWORK_NAMES).optional(),
    rttMs: numeric(z.number().nonnegative().max(1e6)).optional(),
    /** Towards the higher tier. */
    upMbps: numeric(z.number().positive().max(1e9)).optional(),
    downMbps: numeric(z.number().positive().max(1e9)).optional(),
  })
  .refine(
    ({ preset, rttMs, upMbps, downMbps }) =>
      (preset === undefined) !== (rttMs === undefined && upMbps === undefined && downMbps === undefined),
    'give a preset, or some of rttMs, upMbps and downMbps',
  )
export type LinkChange = z.infer<typeof LinkChange>

/** In a URL `device>edge:rttMs=20;upMbps=5,device>cloud:preset=3g`. */
const linkChanges = z
  .preprocess(
    (given, context) => (typeof given === 'string' ? pairsOf(given, settingsOf, context) : given),
    z.record(LinkName, LinkChange),
  )
  .meta(inUrl('link:setting=value;setting=value, several joined by commas', 'device>edge:rttMs=20;upMbps=5'))

function settingsOf(text: string): unknown {
  const settings = text.split(';').filter(Boolean)
  return Object.fromEntries(
    settings.map((setting) => {
      const [name = '', value = ''] = setting.split(/=(.*)/s, 2)
      return [name, value || undefined]
    }),
  )
}

/** What-if fields of a plan query. */
export const WhatIf = z.strictObject({
  /** Sets the links that leave the first tier to this preset; the testbed's additional round trip stays. */
  network: z.enum(NETWORK_NAMES).optional(),
  /** Changes single links, after `network`. */
  links: linkChanges.optional(),
  /** Added to the round trip of these links, after all other changes: `device>cloud:20`. */
  extraRttMs: figures(LinkName, numeric(z.number().nonnegative().max(1e6)), 'device>cloud:20').optional(),
  /** Replaces a resource's slowdown: how many times slower than its machine it runs; below 1 it is faster. */
  slowdowns: figures(ResourceName, numeric(z.number().positive().max(1000))).optional(),
  /**
   * Supposes that other processes keep this many cores of a resource busy. Where it was under that load within the last
   * hour, the times are as measured then; a note says so or how they were estimated.
   */
  loads: figures(ResourceName, numeric(z.number().int().nonnegative().max(1000)), 'edge:1').optional(),
  /** Plans without these resources. */
  without: nameList(ResourceName).optional(),
  /** Plans with these resources only. */
  only: nameList(ResourceName).optional(),
  /** Treats these resources as alive, although their heartbeat has stopped. */
  present: nameList(ResourceName).optional(),
})
export type WhatIf = z.infer<typeof WhatIf>

const FIELDS = Object.keys(WhatIf.shape) as readonly (keyof WhatIf)[]

/** Picks the what-if fields of a query; undefined if it has none. */
export function whatIfOf(query: WhatIf): WhatIf | undefined {
  const given = FIELDS.filter((field) => query[field] !== undefined)
  if (given.length === 0) return undefined
  return Object.fromEntries(given.map((field) => [field, query[field]]))
}
