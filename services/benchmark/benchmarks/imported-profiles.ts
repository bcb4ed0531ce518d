/** Profiles measured elsewhere, in the form in which this program writes them. They never replace what was measured here. */
import { isDeepStrictEqual } from 'node:util'
import type { Profile } from '../../../shared/contracts/profile.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { modelLock, withLock } from '../../../shared/platform/redis/lock.ts'
import { findModel, profileId, type State, structureId } from '../../../shared/platform/redis/state.ts'

/** The id of an imported profile: the measured one of the same model, resource and options has another. */
export const importedId = (profile: Parameters<typeof profileId>[0]): string =>
  `${profileId(profile)}.imported`

/**
 * Stores all or none. A profile that is here already, word for word, stays what it is.
 * @returns them as they are stored now.
 * @throws ScissionError notFound for an unknown model; badRequest for a profile that contradicts itself or its model.
 */
export async function storeImported(state: State, items: readonly Profile[]): Promise<Profile[]> {
  const models = [...new Set(items.map(({ model }) => model))].sort()
  return keepingModels(state, models, async () => {
    for (const profile of items) await checkProfile(state, profile)
    const stored: Profile[] = []
    for (const profile of items) stored.push(await storeOne(state, profile))
    return stored
  })
}

async function storeOne(state: State, profile: Profile): Promise<Profile> {
  const present = await state.profiles.find(profile.id)
  if (present && isDeepStrictEqual(present, profile)) return present
  const imported: Profile = { ...profile, id: importedId(profile), source: 'imported' }
  await state.profiles.put(imported.id, imported)
  return imported
}

/** Runs `work` while none of the models can be deleted. @param models sorted, so that no two callers wait for each other. */
export async function keepingModels<T>(
  state: State,
  [model, ...others]: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  if (model === undefined) return work()
  return withLock(state.redis, modelLock(model), () => keepingModels(state, others, work))
}

/** @throws ScissionError notFound; badRequest if the profile contradicts itself or the model's structure. */
async function checkProfile(state: State, profile: Profile): Promise<void> {
  const model = await findModel(state, profile.model)
  const expected = profileId(profile)
  const refuse = (reason: string): never => {
    throw new ScissionError('badRequest', `profile ${profile.id}: ${reason}`, { profile: profile.id })
  }
  if (profile.id !== expected && profile.id !== importedId(profile))
    refuse(`its model, shapes, resource and options make the id ${expected}`)
  const structure = await state.structures.get(structureId(profile.model, profile.shapesKey))
  if (!structure)
    return refuse(
      `model ${model.name} was not analysed with these shapes; have it analysed with them first: POST /v1/models/${model.name}/layers`,
    )
  if (profile.layerMs.length !== structure.layers.length)
    refuse(`it has ${profile.layerMs.length} layer times, the model has ${structure.layers.length} layers`)
  for (const side of ['enterMs', 'exitMs'] as const) {
    const costs = profile[side]
    if (costs && costs.length !== structure.boundaries.length)
      refuse(`${side} has ${costs.length} figures, the model has ${structure.boundaries.length} boundaries`)
  }
  const sum = profile.layerMs.reduce((total, layerMs) => total + layerMs, 0)
  const whole = profile.whole.medianMs
  if (Math.abs(sum - whole) > 1e-6 * Math.max(sum, whole) + 1e-9)
    refuse(`its layer times sum to ${sum} ms, but the whole model took ${whole} ms`)
}
