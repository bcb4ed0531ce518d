/**
 * Reads testbed files, which describe the machines that one computer emulates and the links between them. Their format is
 * described in docs/reference/testbed.md. The result of `loadTestbed` is complete: all names are known, all pairs of
 * resources have a link, and each link has its three figures.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { mbps, ms, ResourceName, TierName } from '../../shared/contracts/common.ts'
import { OwnResourceName } from '../../shared/contracts/own-resource-name.ts'
import type { LinkEmulation } from '../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { NETWORK_NAMES, NETWORK_PRESETS, type NetworkName } from '../../shared/contracts/network-presets.ts'
import { fileFaults } from '../terminal/file-faults.ts'

const TestbedResource = z.strictObject({
  name: OwnResourceName,
  tier: TierName,
  slowdown: z.number().min(1).max(1000).default(1),
  threads: z.number().int().min(1).max(256).default(1),
})
export type TestbedResource = z.infer<typeof TestbedResource>

const FileLink = z.strictObject({
  from: ResourceName,
  to: ResourceName,
  preset: z.enum(NETWORK_NAMES).optional(),
  extraRttMs: ms.optional(),
  rttMs: ms.optional(),
  upMbps: mbps.optional(),
  downMbps: mbps.optional(),
})
type FileLink = z.infer<typeof FileLink>

const TestbedFile = z.strictObject({
  tiers: z.array(TierName).min(1),
  resources: z.array(TestbedResource).min(1),
  links: z.array(FileLink).default([]),
})
type TestbedFile = z.infer<typeof TestbedFile>

export interface TestbedLink extends LinkEmulation {
  from: string
  to: string
}

export interface Testbed {
  /** Tiers in the order in which a request passes through them. */
  tiers: string[]
  resources: TestbedResource[]
  /** One link for every pair of a resource and a resource of a later tier. */
  links: TestbedLink[]
}

const DEFAULT_FILE = new URL('./default.json', import.meta.url)

/**
 * @param file @defaultValue infra/testbed/default.json
 * @param options.network replaces the figures of the links that start in the first tier.
 * @throws ScissionError badRequest, which names the file and the field.
 */
export function loadTestbed(file?: string, options: { network?: NetworkName | undefined } = {}): Testbed {
  const shown = file ?? 'infra/testbed/default.json'
  const testbed = parse(readJson(file ?? DEFAULT_FILE, shown), shown)
  const faults = faultsOf(testbed)
  if (faults.length > 0) {
    throw new ScissionError('badRequest', `testbed ${shown}: ${faults.join(' · ')}`, { file: shown, faults })
  }
  const first = testbed.tiers[0]
  const entries = new Set(testbed.resources.filter(({ tier }) => tier === first).map(({ name }) => name))
  const links = testbed.links.map((link) => ({
    from: link.from,
    to: link.to,
    ...emulationOf(link, entries.has(link.from) ? options.network : undefined),
  }))
  return { tiers: testbed.tiers, resources: testbed.resources, links }
}

function readJson(file: string | URL, shown: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (thrown) {
    const { message } = coerceError(thrown)
    throw new ScissionError(
      'badRequest',
      `testbed ${shown} cannot be read: ${message}`,
      { file: shown },
      thrown,
    )
  }
}

function parse(json: unknown, shown: string): TestbedFile {
  const parsed = TestbedFile.safeParse(json)
  if (parsed.success) return parsed.data
  const faults = fileFaults(parsed.error, TestbedFile)
  throw new ScissionError('badRequest', `testbed ${shown}: ${faults.join(' · ')}`, { file: shown, faults })
}

/** Lists contradictions between fields, each with the name of the field. */
function faultsOf(testbed: TestbedFile): string[] {
  const { tiers, resources, links } = testbed
  const tierOf = new Map(resources.map(({ name, tier }) => [name, tiers.indexOf(tier)]))
  const faults = [
    ...repeated(tiers).map((tier) => `tiers: "${tier}" is there twice`),
    ...repeated(resources.map(({ name }) => name)).map((name) => `resources: two are called "${name}"`),
    ...repeated(links.map(({ from, to }) => `${from} → ${to}`)).map(
      (pair) => `links: ${pair} is there twice`,
    ),
  ]
  for (const [index, { name, tier }] of resources.entries()) {
    if (tiers.includes(tier)) continue
    faults.push(
      `resources[${index}].tier: ${name} is in "${tier}", which is not one of tiers: ${tiers.join(', ')}`,
    )
  }
  for (const [index, link] of links.entries()) faults.push(...faultsOfLink(link, `links[${index}]`, tierOf))
  // Further lines would only repeat unknown names and tiers.
  return faults.length > 0 ? faults : missingLinks(testbed, tierOf)
}

function faultsOfLink(link: FileLink, field: string, tierOf: ReadonlyMap<string, number>): string[] {
  const faults: string[] = []
  for (const end of ['from', 'to'] as const) {
    if (tierOf.has(link[end])) continue
    faults.push(
      `${field}.${end}: no resource is called "${link[end]}"; known: ${[...tierOf.keys()].join(', ')}`,
    )
  }
  const from = tierOf.get(link.from)
  const to = tierOf.get(link.to)
  if (from !== undefined && to !== undefined && from >= to && from >= 0 && to >= 0) {
    faults.push(
      `${field}: ${link.from} → ${link.to} does not lead to a later tier; a request only moves forward`,
    )
  }
  const figures = (['rttMs', 'upMbps', 'downMbps'] as const).filter((name) => link[name] !== undefined)
  if (link.preset !== undefined && figures.length > 0) {
    faults.push(`${field}: give a preset or ${figures.join(', ')}, not both (extraRttMs adds to a preset)`)
  }
  if (link.preset === undefined && figures.length < 3) {
    faults.push(`${field}: give a preset, or all of rttMs, upMbps and downMbps`)
  }
  return faults
}

function missingLinks({ resources, links }: TestbedFile, tierOf: ReadonlyMap<string, number>): string[] {
  const linked = new Set(links.map(({ from, to }) => `${from} → ${to}`))
  const tier = (name: string) => tierOf.get(name) ?? -1
  return resources.flatMap(({ name: from }) =>
    resources
      .filter(({ name: to }) => tier(from) < tier(to) && !linked.has(`${from} → ${to}`))
      .map(({ name: to }) => `links: ${from} → ${to} is missing`),
  )
}

const repeated = (names: readonly string[]): string[] => [
  ...new Set(names.filter((name, index) => names.indexOf(name) !== index)),
]

function emulationOf(link: FileLink, network: NetworkName | undefined): LinkEmulation {
  const preset = network ?? link.preset
  const { rttMs, upMbps, downMbps } = preset === undefined ? figuresOf(link) : NETWORK_PRESETS[preset]
  const { extraRttMs } = link
  return {
    ...(preset && { preset }),
    rttMs: rttMs + (extraRttMs ?? 0),
    ...(extraRttMs !== undefined && { extraRttMs }),
    upMbps,
    downMbps,
  }
}

function figuresOf(link: FileLink): Pick<LinkEmulation, 'rttMs' | 'upMbps' | 'downMbps'> {
  const { rttMs, upMbps, downMbps } = link
  if (rttMs === undefined || upMbps === undefined || downMbps === undefined) {
    throw new Error('a link without preset and figures got past the check')
  }
  return { rttMs, upMbps, downMbps }
}
