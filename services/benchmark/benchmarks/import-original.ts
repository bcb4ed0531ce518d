/**
 * Stores the measurements of the original Scission for planning: its networks become models whose layers are blocks, its
 * machines resources that are never alive, their block times profiles, and its connections links. Importing the same data
 * again changes nothing. Models that it makes are whose import makes them first; their bytes are nobody's, as no file is kept.
 */
import { z } from 'zod'
import { withFigures } from '../../../shared/contracts/link-override.ts'
import type { Model } from '../../../shared/contracts/model.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { Grant } from '../../../shared/platform/access/holdings.ts'
import { refuseDeploymentName } from '../models/registry.ts'
import { type Imported, importOriginal } from '../../../shared/original/index.ts'
import { NAMES_LOCK, withLock } from '../../../shared/platform/redis/lock.ts'
import { importedMachine, refuseService } from './imported-machines.ts'
import { linkId, profileId, type State, structureId } from '../../../shared/platform/redis/state.ts'

/** The original's own documents: `profiles.json`, with `networks.json` and the name of one of its networks beside it. */
export const OriginalDocument = z
  .looseObject({
    systems: z.record(z.string(), z.unknown()),
    networks: z.unknown().optional(),
    network: z.string().optional(),
  })
  .meta({ id: 'OriginalDocument' })
export type OriginalDocument = z.infer<typeof OriginalDocument>

export const OriginalStored = z
  .object({
    models: z.array(z.string()),
    resources: z.array(z.string()),
    profiles: z.array(z.string()),
    links: z.array(z.string()),
  })
  .meta({ id: 'OriginalStored' })
export type OriginalStored = z.infer<typeof OriginalStored>

/** Distinguishes a network of the original from an uploaded model of the same name. */
const NAME_PREFIX = 'original.'

/** Lets an import make so many models that were not there, or refuses. */
export type AdmitModels = <T>(count: number, work: (grant: Pick<Grant, 'owner'>) => Promise<T>) => Promise<T>

/**
 * @throws ScissionError badRequest, notFound (see importOriginal); conflict when a service has a machine's name or a
 *   deployment a network's; tooManyRequests for who is at a quota. Then nothing is stored.
 */
export async function storeOriginal(
  state: State,
  document: OriginalDocument,
  now: number,
  admit: AdmitModels,
): Promise<OriginalStored> {
  const { networks, network, ...profiles } = document
  const importedAt = new Date(now).toISOString()
  const imported = importOriginal(profiles, {
    importedAt,
    ...(networks !== undefined && { networks }),
    ...(network !== undefined && { network }),
  })
  const resources = resourcesOf(imported, importedAt)
  for (const { name } of resources) refuseService(await state.resources.get(name))
  const models = imported.models.map((model): Model => ({ ...model, name: `${NAME_PREFIX}${model.name}` }))
  const { structures, profiles: measured, links } = imported
  const isThere = await Promise.all(models.map(({ id }) => state.models.has(id)))
  // Referenced documents are stored first, so that every reader of a profile finds its model.
  await admit(isThere.filter((is) => !is).length, ({ owner }) =>
    withModelNames(state, models, async () => {
      await Promise.all(
        structures.map((one) => state.structures.put(structureId(one.model, one.shapesKey), one)),
      )
      await Promise.all(models.map((model) => putOwned(state, model, owner)))
    }),
  )
  await Promise.all(
    resources.map((resource) =>
      state.resources.update(resource.name, (known) => {
        refuseService(known)
        return resource
      }),
    ),
  )
  await Promise.all(measured.map((profile) => state.profiles.put(profileId(profile), profile)))
  await Promise.all(
    links.map((link) =>
      state.links.update(linkId(link.from, link.to), (known) =>
        withFigures(known, { ...link, source: 'imported' }),
      ),
    ),
  )
  return {
    models: models.map(({ name }) => name),
    resources: resources.map(({ name }) => name),
    profiles: imported.profiles.map(({ id }) => id),
    links: imported.links.map(({ from, to }) => linkId(from, to)),
  }
}

/** One that was there stays whose it was. */
async function putOwned(state: State, model: Model, owner: Model['owner']): Promise<void> {
  const known = await state.models.get(model.id)
  await state.models.put(model.id, { ...model, owner: known ? known.owner : owner })
}

/** Stores models under the locks of names, as an upload does: no deployment gets one of these names meanwhile. */
function withModelNames(state: State, models: readonly Model[], store: () => Promise<void>): Promise<void> {
  return withLock(state.redis, NAMES_LOCK, () =>
    withLock(state.redis, 'models', async () => {
      for (const { name } of models)
        await refuseDeploymentName(state.deployments, name, 'delete it before the import')
      await store()
    }),
  )
}

function resourcesOf({ resources, profiles }: Imported, importedAt: string): Resource[] {
  return resources.flatMap(({ name, tier, tierIndex, slowdown, emulated }) => {
    const profile = profiles.find((candidate) => candidate.resource === name)
    if (!profile) return []
    const { machine, options } = profile
    return [importedMachine({ name, tier, tierIndex, slowdown, emulated, machine, options }, importedAt)]
  })
}
