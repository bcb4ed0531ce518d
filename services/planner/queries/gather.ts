/**
 * From the view to a problem for the optimiser: which resources, profiles, links and codecs count for a query, which
 * do not and why. What was gathered is kept until something it was made from changes, so that the optimiser sees the
 * same object again and can keep what it compiled from it.
 */
import { withLiveness } from '../../../shared/contracts/alive.ts'
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { WhatIf } from '../../../shared/contracts/what-if-fields.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { machineDifferences } from '../../../shared/contracts/machine-differences.ts'
import { codecsOf } from './codec-choices.ts'
import type { KeptProfile } from '../knowledge/planning-fields.ts'
import { checkKnown } from '../optimiser/names.ts'
import type { GatheredProblem } from './solve.ts'
import type { View } from '../knowledge/knowledge.ts'
import { applyWhatIf } from './what-if.ts'

export interface GatherParts {
  view: View
  heartbeatMs: number
  now: () => number
}

/** What the problem is gathered for. */
export interface Question {
  model: ModelId
  shapesKey: ShapesKey
  whatIf: WhatIf | undefined
  /** `own`: profiles with the options that their resource runs with now. `any`: the planner chooses. */
  options: 'own' | 'any'
  /** Ids of the only profiles to plan with. */
  profiles: readonly string[] | undefined
}

export interface Gathered {
  problem: GatheredProblem
  leftOut: { resource: string; reason: string }[]
  /** Said of the whole answer. */
  notes: string[]
  /** Those that are planned with. */
  profiles: { id: string; resource: string }[]
}

/**
 * Problems kept, those asked for last. Compiled, one of 500 layers on 10 resources takes up to a megabyte; questions
 * that are asked again do not come here at all (kept-answers.ts).
 */
const KEPT = 8

export class Gatherer {
  readonly #parts: GatherParts
  /** Least recently used first. */
  readonly #kept = new Map<string, { revision: number; gathered: Gathered }>()

  constructor(parts: GatherParts) {
    this.#parts = parts
  }

  /** @throws ScissionError notFound for unknown names, badRequest for a question that contradicts itself. */
  async gather(question: Question): Promise<Gathered> {
    const { view } = this.#parts
    const structure = await view.structure(question.model, question.shapesKey)
    // Everything from here on is read at one moment: what comes in while it is waited for counts too.
    const present = this.#present(question)
    const { revision } = view
    const key = JSON.stringify([question, present.map(({ name }) => name)])
    const known = this.#kept.get(key)
    // Last in, last out.
    this.#kept.delete(key)
    const gathered =
      known?.revision === revision ? known.gathered : this.#gatherNow(question, structure, present)
    this.#kept.set(key, { revision, gathered })
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT) break
      this.#kept.delete(oldest)
    }
    return gathered
  }

  /** Registered, but its heartbeat stopped. An imported machine never had one. */
  isLost(resource: Resource): boolean {
    if (resource.source === 'imported') return false
    return !withLiveness(resource, this.#parts.heartbeatMs, this.#parts.now()).alive
  }

  /** Which resources are lost now and since when: equal texts, equal answers. */
  lost(): string {
    const lost = [...this.#parts.view.resources.values()].filter((resource) => this.isLost(resource))
    return lost.map(({ name, heartbeatAt }) => `${name} ${heartbeatAt}`).join(' ')
  }

  /**
   * Resources that can be planned with: services that are alive, or said to be; imported machines for the models that
   * they have profiles of. A model that only imported machines have profiles of is planned on those alone.
   */
  #present(question: Question): Resource[] {
    const all = [...this.#parts.view.resources.values()]
    const said = question.whatIf?.present ?? []
    const services = all.filter(
      (resource) =>
        resource.source !== 'imported' && (said.includes(resource.name) || !this.isLost(resource)),
    )
    if (!all.some((resource) => resource.source === 'imported')) return services
    const profiled = new Set(profilesOf(this.#parts.view, question).map((profile) => profile.resource))
    const imported = all.filter(({ source, name }) => source === 'imported' && profiled.has(name))
    const alone = imported.length > 0 && !services.some(({ name }) => profiled.has(name))
    return alone ? imported : [...services, ...imported]
  }

  #gatherNow(question: Question, structure: Structure, present: Resource[]): Gathered {
    const { view } = this.#parts
    const all = [...view.resources.values()]
    const absent = all
      .filter(({ name, source }) => source !== 'imported' && !present.some((one) => one.name === name))
      .map((resource) => ({
        resource: resource.name,
        reason: this.isLost(resource)
          ? `no heartbeat since ${resource.heartbeatAt}`
          : 'it has no profile of this model, which imported machines have',
      }))
    const measured = { resources: present, links: [...view.links.values()] }
    const names = all.map(({ name }) => name)
    const { resources, links, leftOut, notes } = question.whatIf
      ? applyWhatIf(measured, question.whatIf, names)
      : { ...measured, leftOut: [], notes: [] }
    const chosen = chooseProfiles(view, question, resources, structure)
    const codecs = codecsOf(view.calibrations.values(), question.model, question.shapesKey)
    const problem: GatheredProblem = {
      structure,
      // One without a usable profile may still be where the input is.
      resources,
      profiles: chosen.profiles,
      links,
      ...(codecs.codecs.length > 0 && { codecs: codecs.codecs }),
    }
    const unusable = [...chosen.unusable].map(([resource, reason]) => ({ resource, reason }))
    return {
      problem,
      leftOut: [...absent, ...leftOut, ...unusable],
      notes: [...notes, ...codecs.notes, ...doubtsAbout(chosen.profiles, resources)],
      profiles: chosen.profiles.map(({ id, resource }) => ({ id, resource })),
    }
  }
}

interface Chosen {
  profiles: KeptProfile[]
  /** Resources whose profiles cannot be planned with, and why. One without any profile is not among them. */
  unusable: Map<string, string>
}

function chooseProfiles(
  view: View,
  question: Question,
  resources: readonly Resource[],
  structure: Structure,
): Chosen {
  const candidates = question.profiles ? namedProfiles(view, question) : profilesOf(view, question)
  const unusable = new Map<string, string>()
  const profiles: KeptProfile[] = []
  for (const resource of resources) {
    const own = candidates.filter((profile) => profile.resource === resource.name)
    const fitting = own.filter((profile) => question.options === 'any' || hasOwnOptions(profile, resource))
    const whole = fitting.filter((profile) => isWhole(profile, structure))
    profiles.push(...whole)
    if (own.length > 0 && whole.length === 0)
      unusable.set(resource.name, whyUnusable(own, fitting, resource, structure))
  }
  return { profiles, unusable }
}

function profilesOf(view: View, { model, shapesKey }: Question): KeptProfile[] {
  return [...view.profiles.values()].filter(
    (profile) => profile.model === model && profile.shapesKey === shapesKey,
  )
}

/** @throws ScissionError badRequest when they cannot be planned with together. */
function namedProfiles(view: View, question: Question): KeptProfile[] {
  const ids = question.profiles ?? []
  checkKnown('profiles', 'profile', ids, [...view.profiles.keys()].sort())
  return ids.flatMap((id) => {
    const profile = view.profiles.get(id)
    if (!profile) return []
    const refuse = (why: string) =>
      new ScissionError('badRequest', `profiles: ${id} ${why}`, { field: 'profiles', profile: id })
    if (profile.model !== question.model) throw refuse(`is of another model, ${profile.model}`)
    if (profile.shapesKey !== question.shapesKey)
      throw refuse(`is for other input shapes (${profile.shapesKey}, not ${question.shapesKey})`)
    const resource = view.resources.get(profile.resource)
    if (resource && question.options === 'own' && !hasOwnOptions(profile, resource))
      throw refuse(
        `was measured with ${optionsText(profile)}, ${resource.name} runs with ${optionsText(resource)}: ` +
          'say options=any to let the planner choose the options',
      )
    return [profile]
  })
}

/** A profile counts for the options its resource runs with now. */
function hasOwnOptions(profile: KeptProfile, { options }: Resource): boolean {
  return profile.options.threads === options.threads && profile.options.optimisation === options.optimisation
}

function isWhole({ layerMs, enterMs, exitMs }: KeptProfile, { layers, boundaries }: Structure): boolean {
  const sides = [enterMs, exitMs].every((side) => side === undefined || side.length === boundaries.length)
  return layerMs.length === layers.length && sides
}

function whyUnusable(
  own: readonly KeptProfile[],
  fitting: readonly KeptProfile[],
  resource: Resource,
  structure: Structure,
): string {
  if (fitting.length === 0)
    return (
      `its profiles of this model were measured with ${own.map(optionsText).join(', ')}, it runs with ` +
      `${optionsText(resource)}: benchmark the model on it again`
    )
  const counts = fitting.map((profile) => profile.layerMs.length).join(', ')
  return `its profile has ${counts} layers, the model has ${structure.layers.length}: benchmark the model on it again`
}

const optionsText = ({ options }: Pick<Resource, 'options'>): string =>
  `${options.threads} thread${options.threads === 1 ? '' : 's'} and optimisation ${options.optimisation}`

const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`

function doubtsAbout(profiles: readonly KeptProfile[], resources: readonly Resource[]): string[] {
  return profiles.flatMap((profile) => {
    const resource = resources.find(({ name }) => name === profile.resource)
    return [...failedCheck(profile), ...(resource ? otherMachine(profile, resource) : [])]
  })
}

/** Each plan built on such a profile says so too; here is how far it was off. */
function failedCheck({ resource, predictionError: check }: KeptProfile): string[] {
  if (!check || check.ok) return []
  const missed = `${percent(check.median)} in the median and ${percent(check.maximum)} at worst`
  return [
    `the profile of ${resource} failed its own check: at cuts it was not fitted to it missed by ${missed}`,
  ]
}

/** A machine can have been replaced, or its runtime, under the same name. */
function otherMachine(profile: KeptProfile, resource: Resource): string[] {
  if (profile.source === 'imported') return []
  const differences = machineDifferences(profile, resource)
  if (differences.length === 0) return []
  return [
    `the profile of ${resource.name} was measured on another machine or runtime than it has now ` +
      `(${differences.join('; ')}): benchmark the model on it again`,
  ]
}
