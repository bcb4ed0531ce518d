/** What a link is told to be: crosses a process as JSON. */
import { z } from 'zod'

const rate = z.number().positive().nullable()
const port = z.number().int().min(1).max(65_535)

/**
 * Rates are payload in 10^6 bit/s, null = unlimited: headers and lost packets of a real link are not
 * modelled.
 */
export const LinkSettings = z.strictObject({
  /** Half of it is spent in each direction. */
  rttMs: z.number().min(0).max(60_000),
  /** From the connecting side to the target. */
  upMbps: rate,
  downMbps: rate,
})
export type LinkSettings = z.infer<typeof LinkSettings>

export const EmulatedLink = LinkSettings.extend({
  /** For control and statistics. */
  name: z.string().min(1),
  /** 0 = any free port. */
  listenPort: z.union([z.literal(0), port]).default(0),
  /** @defaultValue 127.0.0.1 */
  listenHost: z.string().default('127.0.0.1'),
  target: z.object({ host: z.string(), port }),
})
export type EmulatedLink = z.infer<typeof EmulatedLink>
export type EmulatedLinkInput = z.input<typeof EmulatedLink>

/**
 * silent: nothing passes and nothing is said, as with a cable pulled out. reset: connections are reset, new
 * ones too.
 */
export const CutKind = z.enum(['silent', 'reset'])
export type CutKind = z.infer<typeof CutKind>

export const LinkStatistics = z.object({
  port,
  settings: LinkSettings,
  cut: CutKind.nullable(),
  /** Payload delivered to the target, and from it. */
  upBytes: z.number(),
  downBytes: z.number(),
  openConnections: z.number(),
  connections: z.number(),
  /** Connections that the target refused. */
  refused: z.number(),
})
export type LinkStatistics = z.infer<typeof LinkStatistics>
