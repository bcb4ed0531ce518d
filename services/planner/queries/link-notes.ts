/** Notes on links whose figures are old or uncertain. Pure. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Link, Resource } from '../../../shared/contracts/resource.ts'
import { median } from '../../../shared/platform/statistics.ts'
import type { MirroredLink } from '../knowledge/mirrored-documents.ts'

/** Inference services measure a link every minute, or as `SCISSION_LINK_INTERVAL_MS` says. */
const OLD_MS = 10 * 60_000
/** A message is uncertain if it may take longer by this share of its time, and by so many ms. */
const UNCERTAIN_SHARE = 0.25
const UNCERTAIN_MS = 2

type Measured = Pick<Link, 'from' | 'to' | 'source' | 'measuredAt'>

/** True if the link was not measured for some time. @param now epoch ms of Redis' clock, by which measurements are told. */
export const isOld = (
  { source, measuredAt }: Pick<Measured, 'source' | 'measuredAt'>,
  now: number,
): boolean => source === 'measured' && now - Date.parse(measuredAt) > OLD_MS

/**
 * A note per measured link between these resources that is old, and one per link with uncertain figures. What is uncertain
 * counts by what it does to a usual message of the model.
 * @param now epoch ms of Redis' clock.
 */
export function linkNotes(
  links: readonly MirroredLink[],
  resources: readonly Pick<Resource, 'name'>[],
  { boundaries }: Pick<Structure, 'boundaries'>,
  now: number,
): string[] {
  const names = new Set(resources.map(({ name }) => name))
  const messageBytes = median(boundaries.map(({ bytes }) => bytes))
  return links
    .filter(({ from, to, source }) => source === 'measured' && names.has(from) && names.has(to))
    .flatMap((link) => [...(isOld(link, now) ? [oldNote(link)] : []), ...uncertainNote(link, messageBytes)])
}

const nameOf = ({ from, to }: Pick<Measured, 'from' | 'to'>) => `the link ${from} → ${to}`

const oldNote = (link: MirroredLink) =>
  `${nameOf(link)} was last measured at ${link.measuredAt}: measure it again (POST /v1/links/measure at ${link.from})`

function uncertainNote(link: MirroredLink, bytes: number): string[] {
  const { rttMs, bandwidthMbps, perMessageMs = 0, uncertainty } = link
  if (!uncertainty) return []
  const sendMs = (bytes * 8) / (bandwidthMbps * 1000)
  const slowest = Math.max(bandwidthMbps / 10, bandwidthMbps - uncertainty.bandwidthMbps)
  const lateMs = uncertainty.rttMs + (uncertainty.perMessageMs ?? 0) + sendMs * (bandwidthMbps / slowest - 1)
  const takesMs = rttMs + perMessageMs + sendMs
  if (lateMs <= UNCERTAIN_MS || lateMs <= UNCERTAIN_SHARE * takesMs) return []
  return [
    `the figures of ${nameOf(link)} are uncertain: ${rounded(rttMs)} ± ${rounded(uncertainty.rttMs)} ms round trip, ` +
      `${rounded(bandwidthMbps)} ± ${rounded(uncertainty.bandwidthMbps)} Mbit/s`,
  ]
}

const rounded = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)
