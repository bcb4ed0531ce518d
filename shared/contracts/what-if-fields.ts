/**
 * "What if the network were slower, the edge gone, the device twice as fast?": changes to what a query is planned with.
 * They last as long as the query; nothing stored changes, and every plan made with them is marked emulated.
 */
import { z } from 'zod'
import { NETWORK_NAMES } from './network-presets.ts'
import { ResourceName } from './common.ts'
import { figures, nameList, numeric, pairsOf } from './query-values.ts'

/** `device>edge`: directed, as a request goes. */
export const LinkName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}>[a-z0-9][a-z0-9-]{0,62}$/, 'a link is written <resource>><resource>')

/** What is left out stays as measured; a link that was never measured needs all three figures or a preset. */
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
const linkChanges = z.preprocess(
  (given, context) => (typeof given === 'string' ? pairsOf(given, settingsOf, context) : given),
  z.record(LinkName, LinkChange),
)

function settingsOf(text: string): unknown {
  const settings = text.split(';').filter(Boolean)
  return Object.fromEntries(
    settings.map((setting) => {
      const [name = '', value = ''] = setting.split(/=(.*)/s, 2)
      return [name, value || undefined]
    }),
  )
}

/** Fields of a plan query; `WHAT_IF_FIELDS` names them all. */
export const WhatIf = z.strictObject({
  /** Links that leave the first tier, as this preset; what the testbed adds to their round trip stays. */
  network: z.enum(NETWORK_NAMES).optional(),
  /** Single links, after `network`. */
  links: linkChanges.optional(),
  /** Added to the round trip of these links, whatever else is said about them: `device>cloud:20`. */
  extraRttMs: figures(LinkName, numeric(z.number().nonnegative().max(1e6))).optional(),
  /** How many times slower than its machine a resource runs: replaces its own slowdown; below 1 it is faster. */
  slowdowns: figures(ResourceName, numeric(z.number().positive().max(1000))).optional(),
  /** As if these resources were not there. */
  without: nameList(ResourceName).optional(),
  /** As if no others were there. */
  only: nameList(ResourceName).optional(),
  /** As if these resources were alive, although their heartbeat stopped. */
  present: nameList(ResourceName).optional(),
})
export type WhatIf = z.infer<typeof WhatIf>

export const WHAT_IF_FIELDS = Object.keys(WhatIf.shape) as readonly (keyof WhatIf)[]
