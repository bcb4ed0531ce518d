/** Parameters of a link, passed between processes as JSON. */
import { z } from 'zod'

const rate = z.number().positive().nullable()
const port = z.number().int().min(1).max(65_535)

/**
 * Rates are payload in 10^6 bit/s; null means unlimited. Headers and packet loss of a real link are not modelled.
 */
export const LinkSettings = z.strictObject({
  /** Round-trip time in ms; each direction takes half of it. */
  rttMs: z.number().min(0).max(60_000),
  /** Rate from the connecting side to the target. */
  upMbps: rate,
  downMbps: rate,
})
export type LinkSettings = z.infer<typeof LinkSettings>

export const EmulatedLink = LinkSettings.extend({
  /** Name for commands and statistics. */
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
 * silent: no data passes and nobody is notified, as with an unplugged cable. reset: connections are reset, new ones too.
 */
export type CutKind = 'silent' | 'reset'

export interface LinkStatistics {
  port: number
  settings: LinkSettings
  cut: CutKind | null
  /** Payload bytes delivered to the target; `downBytes` from it. */
  upBytes: number
  downBytes: number
  openConnections: number
  connections: number
  /** Number of connections that the target refused. */
  refused: number
}
