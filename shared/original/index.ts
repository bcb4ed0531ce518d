/**
 * Data and semantics of the original Scission (UCC 2020): reads its measurements, converts them to our contracts, and
 * translates its criteria to a plan query. import.ts and criteria.ts describe its rules.
 */
import type { Model, Structure } from '../contracts/model.ts'
import type { Profile } from '../contracts/profile.ts'
import type { Link } from '../contracts/resource.ts'
import { ScissionError } from '../platform/errors.ts'
import { type Connection, parseNetworks, parseProfiles } from './data.ts'
import { type ImportedResource, linksOf, modelOf, profileOf, resourcesOf, structureOf } from './import.ts'

export { type OriginalOptions, parseCriteria, queryOf, type Criteria } from './criteria.ts'
export type { Block, Connection, System } from './data.ts'
export { parseNetworks, parseProfiles } from './data.ts'
export { readConnections, readSystems } from './directory.ts'
export type { ImportedResource } from './import.ts'
export { linksOf, profileOf, resourcesOf, structureOf } from './import.ts'
export { loadedLine, NO_RESULTS, resultLine } from './lines.ts'
export { faultyScenarios } from './zero-time.ts'

export interface Imported {
  models: Model[]
  structures: Structure[]
  profiles: Profile[]
  /** Empty unless a network was given. */
  links: Link[]
  resources: ImportedResource[]
}

export interface ImportOptions {
  /** The original's connections by file name, as in its networks.json; needed for links. */
  networks?: unknown
  /** Name of the network to use. @defaultValue the only one */
  network?: string
  /** ISO 8601 time of the import. @defaultValue now */
  importedAt?: string
}

/**
 * The original's `profiles.json` as records of our contracts: one model, structure per network, one profile per
 * network and machine. Models have no files: they can be planned with, not deployed.
 * @throws ScissionError badRequest (not the original's data), notFound (unknown network).
 */
export function importOriginal(json: unknown, options: ImportOptions = {}): Imported {
  const { importedAt = new Date().toISOString() } = options
  const systems = parseProfiles(json)
  const resources = resourcesOf(systems)
  const imported: Imported = { models: [], structures: [], profiles: [], links: [], resources }
  for (const name of new Set(systems.flatMap(({ models }) => [...models.keys()]))) {
    const measured = systems.flatMap(({ models }, at) => {
      const blocks = models.get(name)
      return blocks ? [{ blocks, resource: resources[at]! }] : []
    })
    const structure = structureOf(name, measured[0]!.blocks)
    imported.models.push(modelOf(name, structure, importedAt))
    imported.structures.push(structure)
    for (const { blocks, resource } of measured)
      imported.profiles.push(profileOf(structure, resource, blocks, importedAt))
  }
  if (options.networks !== undefined)
    imported.links = linksOf(connectionsOf(options.networks, options.network), resources, importedAt)
  return imported
}

function connectionsOf(networks: unknown, name: string | undefined): Connection[] {
  const known = parseNetworks(networks)
  const found = name === undefined && known.size === 1 ? [...known.values()][0] : known.get(name ?? '')
  if (found) return found
  const names = [...known.keys()].sort()
  throw new ScissionError('notFound', `network: name one of ${names.join(', ')}, got: ${name ?? 'none'}`, {
    known: names,
  })
}
