/**
 * Stores machines, links and profiles that people wrote by hand. Imported profiles stand beside measured ones, under ids of
 * their own. All is checked before any is stored.
 */
import { withFigures } from '../../../shared/contracts/link-override.ts'
import type { Model } from '../../../shared/contracts/model.ts'
import type { PlainDocument, PlainProfile } from '../../../shared/contracts/plain-import.ts'
import type { Profile } from '../../../shared/contracts/profile.ts'
import type { Link, Resource } from '../../../shared/contracts/resource.ts'
import { shapesKeyOf } from '../../../shared/onnx/canonical/shapes-key.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { findModel, linkId, type State, structureId } from '../../../shared/platform/redis/state.ts'
import { importedId, keepingModels } from './imported-profiles.ts'
import { importedMachine, refuseService, UNKNOWN_MACHINE } from './imported-machines.ts'
import type { OriginalStored } from './import-original.ts'

const DEFAULT_TIERS = ['device', 'edge', 'cloud']
const METHOD = 'written by hand or measured by another program, and imported'

interface Checked {
  machines: Resource[]
  links: Link[]
  profiles: Profile[]
}

/**
 * @param now epoch ms, which becomes the time of the import.
 * @throws ScissionError badRequest or notFound naming the field; conflict when a service has a machine's name, or a link
 *   joins two services.
 */
export async function storePlain(
  state: State,
  document: PlainDocument,
  now: number,
): Promise<OriginalStored> {
  const models = await Promise.all(
    document.profiles.map(({ model }, at) => named(`profiles[${at}].model`, () => findModel(state, model))),
  )
  const checked = await keepingModels(state, [...new Set(models.map(({ id }) => id))].sort(), async () => {
    const all = await checkDocument(state, document, models, new Date(now).toISOString())
    for (const machine of all.machines)
      await state.resources.update(machine.name, (known) => {
        refuseService(known)
        return machine
      })
    for (const profile of all.profiles) await state.profiles.put(profile.id, profile)
    for (const link of all.links)
      await state.links.update(linkId(link.from, link.to), (known) => withFigures(known, link))
    return all
  })
  return {
    models: [],
    resources: checked.machines.map(({ name }) => name),
    profiles: checked.profiles.map(({ id }) => id),
    links: checked.links.map(({ from, to }) => linkId(from, to)),
  }
}

async function checkDocument(
  state: State,
  document: PlainDocument,
  models: readonly Model[],
  importedAt: string,
): Promise<Checked> {
  const known = await state.resources.all()
  const machines = machinesOf(document, known, importedAt)
  const byName = new Map([...known, ...machines].map((one) => [one.name, one]))
  const links = document.links.map((link, at) => linkOf(link, `links[${at}]`, byName, importedAt))
  const profiles: Profile[] = []
  for (const [at, plain] of document.profiles.entries()) {
    const field = `profiles[${at}]`
    const resource = byName.get(plain.resource)
    if (!resource)
      throw refusal(
        `${field}.resource`,
        `there is no machine "${plain.resource}": give the profile a tier, or the machine {"name", "tier"} beside it`,
      )
    profiles.push(await profileOf(state, plain, field, models[at] as Model, resource, importedAt))
  }
  return { machines, links, profiles }
}

/** Machines that are named, and those that profiles with a tier make. */
function machinesOf(
  { machines, profiles }: PlainDocument,
  known: readonly Resource[],
  importedAt: string,
): Resource[] {
  const tiers = tiersOf(known)
  const made = new Map<string, Resource>()
  const add = (field: string, name: string, tier: string, options?: Resource['options']) => {
    const tierIndex = tiers.indexOf(tier)
    if (tierIndex < 0) throw refusal(`${field}.tier`, `must be one of ${tiers.join(', ')}, got ${tier}`)
    const before = made.get(name)
    if (before && before.tier !== tier)
      throw refusal(`${field}.tier`, `${name} is in ${before.tier} too: a machine is in one tier`)
    const machine = { ...UNKNOWN_MACHINE, cpuModel: `${name} (imported)` }
    if (!before)
      made.set(
        name,
        importedMachine({ name, tier, tierIndex, machine, ...(options && { options }) }, importedAt),
      )
  }
  for (const [at, { name, tier }] of machines.entries()) {
    const there = known.find((one) => one.name === name)
    refuseService(there)
    add(`machines[${at}]`, name, tier, there?.options)
  }
  for (const [at, { resource, tier, threads, optimisation }] of profiles.entries()) {
    if (tier === undefined) continue
    const there = known.find((one) => one.name === resource)
    if (there && there.tier !== tier)
      throw refusal(`profiles[${at}].tier`, `${resource} is in ${there.tier}, not in ${tier}`)
    const options = { threads: threads ?? 1, optimisation: optimisation ?? ('all' as const) }
    if (!there) add(`profiles[${at}]`, resource, tier, options)
  }
  return [...made.values()]
}

function tiersOf(resources: readonly Resource[]): string[] {
  const tiers = [...DEFAULT_TIERS]
  for (const { tier, tierIndex } of resources) tiers[tierIndex] = tier
  return tiers
}

function linkOf(
  link: PlainDocument['links'][number],
  field: string,
  machines: ReadonlyMap<string, Resource>,
  measuredAt: string,
): Link {
  const [from, to] = (['from', 'to'] as const).map((end) => {
    const machine = machines.get(link[end])
    if (machine) return machine
    throw refusal(
      `${field}.${end}`,
      `there is no machine "${link[end]}": give it as {"name", "tier"} beside the link`,
    )
  }) as [Resource, Resource]
  if (from.tierIndex >= to.tierIndex)
    throw refusal(
      `${field}.to`,
      `a request only moves to a later tier: ${from.name} is in ${from.tier}, ${to.name} in ${to.tier}`,
    )
  if (from.source !== 'imported' && to.source !== 'imported')
    throw new ScissionError(
      'conflict',
      `${field}: ${from.name} and ${to.name} are services of this system, whose link is measured; ` +
        `"scission links set ${from.name} ${to.name}" overrides it`,
      { fields: [{ field, message: 'both ends are services' }] },
    )
  return {
    ...link,
    returnBandwidthMbps: link.returnBandwidthMbps ?? link.bandwidthMbps,
    source: 'imported',
    emulated: false,
    samples: [],
    measuredAt,
  }
}

async function profileOf(
  state: State,
  plain: PlainProfile,
  field: string,
  model: Model,
  { name, machine, options: own }: Resource,
  measuredAt: string,
): Promise<Profile> {
  const shapesKey = plain.inputShapes ? shapesKeyOf(plain.inputShapes) : model.shapesKey
  if (shapesKey === null)
    throw refusal(`${field}.inputShapes`, `model ${model.name} leaves dimensions open: give its input shapes`)
  const structure = await state.structures.get(structureId(model.id, shapesKey))
  if (!structure)
    throw refusal(
      `${field}.inputShapes`,
      `model ${model.name} was not analysed with these shapes; have it analysed with them first: POST /v1/models/${model.name}/layers`,
    )
  const count = structure.layers.length
  if (plain.layerMs.length !== count)
    throw refusal(
      `${field}.layerMs`,
      `has ${plain.layerMs.length} times, model ${model.name} has ${count} layers (scission layers ${model.name})`,
    )
  const layerMs = plain.layerMs.map((layer) => layer * (plain.slowdown ?? 1))
  const total = layerMs.reduce((sum, layer) => sum + layer, 0)
  const options = {
    threads: plain.threads ?? own.threads,
    optimisation: plain.optimisation ?? own.optimisation,
  }
  const identity = { model: model.id, shapesKey, resource: name, options }
  return {
    ...identity,
    id: importedId(identity),
    machine,
    slowdown: 1,
    emulated: false,
    source: 'imported',
    method: METHOD,
    measuredAt,
    whole: { medianMs: total, samplesMs: [], cpuMs: total },
    layerMs,
    sessionCreateMs: 0,
    peakRssBytes: 0,
    load: { loadAverage1: 0, requestsServed: 0 },
  }
}

const refusal = (field: string, message: string) =>
  new ScissionError('badRequest', `${field}: ${message}`, { fields: [{ field, message }] })

/** Says which field an unknown name is in. */
async function named<T>(field: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError)) throw thrown
    throw new ScissionError(thrown.code, `${field}: ${thrown.message}`, thrown.details, thrown)
  }
}
