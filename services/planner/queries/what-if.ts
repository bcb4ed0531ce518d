/** Applies the what-if fields of a query to copies of resources and links, and describes each change in a note. */
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { LinkChange, WhatIf } from '../../../shared/contracts/what-if-fields.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { asGiven, NETWORK_PRESETS, withPreset } from '../../../shared/contracts/network-presets.ts'
import { linkId } from '../../../shared/platform/redis/state.ts'
import type { MirroredLink } from '../knowledge/mirrored-documents.ts'
import { checkKnown } from '../../../shared/planning/index.ts'

export interface Conditions {
  resources: readonly Resource[]
  links: readonly MirroredLink[]
}

export interface Changed extends Conditions {
  /** One line per change, shown in the answer. */
  notes: string[]
  leftOut: { resource: string; reason: string }[]
}

/**
 * @param present resources and links as they are, without lost resources.
 * @param known names of all registered resources, including lost ones.
 * @throws ScissionError notFound for unknown names; badRequest for changes that contradict each other or are incomplete.
 */
export function applyWhatIf(present: Conditions, whatIf: WhatIf, known: readonly string[]): Changed {
  checkNames(whatIf, known)
  const leftOut = leftOutBy(whatIf, present.resources)
  const gone = new Set(leftOut.map(({ resource }) => resource))
  const resources = present.resources
    .filter(({ name }) => !gone.has(name))
    .map((resource) => withSlowdown(resource, whatIf.slowdowns?.[resource.name]))
    .map((resource) =>
      whatIf.loads?.[resource.name] === undefined ? resource : { ...resource, emulated: true },
    )
  return { resources, links: changeLinks(present, whatIf), leftOut, notes: notesOf(whatIf) }
}

function checkNames(whatIf: WhatIf, known: readonly string[]): void {
  const sorted = [...known].sort()
  for (const field of ['without', 'only', 'present'] as const)
    checkKnown(field, 'resource', whatIf[field] ?? [], sorted)
  for (const field of ['slowdowns', 'loads'] as const)
    checkKnown(field, 'resource', Object.keys(whatIf[field] ?? {}), sorted)
  for (const field of ['links', 'extraRttMs'] as const) {
    for (const link of Object.keys(whatIf[field] ?? {}))
      checkKnown(field, 'resource', link.split('>'), sorted)
  }
  for (const field of ['only', 'present'] as const) {
    const both = whatIf[field]?.find((name) => whatIf.without?.includes(name))
    if (both !== undefined) throw contradiction('without', `${both} is in ${field} and in without`)
  }
}

function leftOutBy(whatIf: WhatIf, resources: readonly Resource[]): Changed['leftOut'] {
  return resources.flatMap(({ name }) => {
    if (whatIf.without?.includes(name))
      return [{ resource: name, reason: 'what-if: the query leaves it out' }]
    if (whatIf.only && !whatIf.only.includes(name))
      return [{ resource: name, reason: `what-if: the query says only ${whatIf.only.join(', ')}` }]
    return []
  })
}

function withSlowdown(resource: Resource, slowdown: number | undefined): Resource {
  return slowdown === undefined ? resource : { ...resource, slowdown, emulated: true }
}

/** Applies the network preset first, then the changes of single links, then the additional round-trip times. */
function changeLinks(present: Conditions, whatIf: WhatIf): MirroredLink[] {
  const { network, links = {}, extraRttMs = {} } = whatIf
  const tierOf = new Map(present.resources.map((resource) => [resource.name, resource.tierIndex]))
  const first = Math.min(...tierOf.values())
  const changed = new Map(
    present.links.map((link) => {
      const leaves = network !== undefined && tierOf.get(link.from) === first
      return [linkId(link.from, link.to), leaves ? withPreset(link, network) : link]
    }),
  )
  for (const [id, change] of Object.entries(links)) {
    changed.set(id, withChange(id, changed.get(id), change, tierOf))
  }
  for (const [id, extra] of Object.entries(extraRttMs)) {
    const link = changed.get(id)
    if (!link) throw tooLittle('extraRttMs', id)
    changed.set(id, { ...link, rttMs: link.rttMs + extra, emulated: true })
  }
  return [...changed.values()]
}

function withChange(
  id: string,
  link: MirroredLink | undefined,
  change: LinkChange,
  tierOf: ReadonlyMap<string, number>,
): MirroredLink {
  const [from = '', to = ''] = id.split('>')
  const [fromTier, toTier] = [tierOf.get(from), tierOf.get(to)]
  if (fromTier !== undefined && toTier !== undefined && fromTier >= toTier)
    throw contradiction('links', `${id} does not lead to a later tier; a request only moves forward`)
  const base = link ?? newLink(from, to, id, change)
  if (change.preset) return withPreset(base, change.preset)
  return {
    ...asGiven(base),
    rttMs: change.rttMs ?? base.rttMs,
    bandwidthMbps: change.upMbps ?? base.bandwidthMbps,
    returnBandwidthMbps: change.downMbps ?? base.returnBandwidthMbps,
    source: 'override',
  }
}

/** A link that was never measured. Its fixed cost per message is unknown and counts as 0 ms. */
function newLink(from: string, to: string, id: string, change: LinkChange): MirroredLink {
  const { preset, rttMs, upMbps, downMbps } = change
  const figures = preset ? NETWORK_PRESETS[preset] : { rttMs, upMbps, downMbps }
  if (figures.rttMs === undefined || figures.upMbps === undefined || figures.downMbps === undefined)
    throw tooLittle('links', id)
  return {
    from,
    to,
    rttMs: figures.rttMs,
    bandwidthMbps: figures.upMbps,
    returnBandwidthMbps: figures.downMbps,
    source: 'override',
    emulated: true,
    measuredAt: new Date(0).toISOString(),
  }
}

function notesOf(whatIf: WhatIf): string[] {
  const { network, links, extraRttMs, slowdowns, without, only, present } = whatIf
  const changes = Object.entries(links ?? {}).map(
    ([id, change]) =>
      `link ${id} at ${Object.entries(change)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
  )
  return [
    ...(network ? [`links from the first tier as the preset ${network}`] : []),
    ...changes,
    ...Object.entries(extraRttMs ?? {}).map(([id, extra]) => `${extra} ms more round trip on ${id}`),
    ...Object.entries(slowdowns ?? {}).map(([name, factor]) => `${name} ${factor}x slower than its machine`),
    ...(without?.length ? [`without ${without.join(', ')}`] : []),
    ...(only ? [`only ${only.join(', ')}`] : []),
    ...(present?.length ? [`${present.join(', ')} present, whatever the heartbeats say`] : []),
  ].map((note) => `what-if: ${note}, not as measured`)
}

function tooLittle(field: string, id: string): ScissionError {
  const message = `${field}: link ${id} has not been measured: give rttMs, upMbps and downMbps in links, or a preset`
  return new ScissionError('badRequest', message, { field, link: id })
}

function contradiction(field: string, message: string): ScissionError {
  return new ScissionError('badRequest', `${field}: ${message}`, { field })
}
