/**
 * Builds the optimiser's problem from the mirror: which resources, profiles, links and codecs count for a query, which do
 * not, and why. The same question at the same revision gets the same object, so that the optimiser can reuse what it
 * compiled from it.
 */
import { LRUCache } from 'lru-cache'
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { machineDifferences, type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import type { PaceOfPlan } from '../../../shared/contracts/plan-pace.ts'
import type { WhatIf } from '../../../shared/contracts/what-if-fields.ts'
import { linkId, profileId } from '../../../shared/platform/redis/state.ts'
import { isOld, linkNotes } from './link-notes.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { MirroredCalibration, MirroredProfile } from '../knowledge/mirrored-documents.ts'
import { checkKnown, type Problem } from '../../../shared/planning/index.ts'
import type { PlanningProblem } from './solver.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import { Pacing } from './todays-pace.ts'
import { applyWhatIf } from './what-if.ts'

export interface ProblemBuilderDeps {
  mirror: RedisMirror
  heartbeatMs: number
  /** Epoch ms of Redis' clock. */
  now: () => number
  /** Asked if every machine looks lost. @throws ScissionError queueUnavailable if Redis takes no heartbeats. */
  checkWritable?: () => Promise<void>
}

/** The part of a query that decides which problem is built. */
export interface Question {
  model: ModelId
  shapesKey: ShapesKey
  whatIf: WhatIf | undefined
  /** `own`: only profiles with the runtime options that their resource runs with now. `any`: the planner chooses. */
  options: 'own' | 'any'
  /** Ids of profiles; if given, no others are planned with. */
  profiles: readonly string[] | undefined
}

export interface BuiltProblem {
  problem: PlanningProblem
  leftOut: { resource: string; reason: string }[]
  /** Notes that name emulated speeds and links. */
  emulated: string[]
  /** Other notes that apply to the whole answer. */
  notes: string[]
  /** The profiles that the problem contains. */
  profiles: { id: string; resource: string }[]
  /** How fast the machines are now, of those with a profile that can be related to it. */
  paces: PaceOfPlan[]
}

/**
 * Compiled, a problem of 500 layers on 10 resources takes up to a megabyte. Repeated queries are answered by the answer
 * cache and do not come here.
 */
const MAX_PROBLEM_COUNT = 8

export class ProblemBuilder {
  readonly #deps: ProblemBuilderDeps
  readonly #recent = new LRUCache<string, { revision: number; built: BuiltProblem }>({
    max: MAX_PROBLEM_COUNT,
  })

  constructor(deps: ProblemBuilderDeps) {
    this.#deps = deps
  }

  /** @throws ScissionError notFound for unknown names, badRequest for a question that contradicts itself. */
  async build(question: Question): Promise<BuiltProblem> {
    const { mirror } = this.#deps
    const structure = await mirror.structure(question.model, question.shapesKey)
    // From here on everything is read without awaiting: all parts of the problem are of the same moment.
    const present = this.#present(question)
    const { revision } = mirror
    const key = JSON.stringify([question, present.map(({ name }) => name), this.#oldLinks()])
    const known = this.#recent.get(key)
    if (known?.revision === revision) return known.built
    const built = this.#buildNow(question, structure, present)
    this.#recent.set(key, { revision, built })
    return built
  }

  /** True if the resource is registered but its heartbeat stopped. An imported machine never has a heartbeat. */
  isLost(resource: Resource): boolean {
    if (resource.source === 'imported') return false
    return !withLiveness(resource, this.#deps.heartbeatMs, this.#deps.now()).alive
  }

  /** Names the resources that are lost now and since when, and the links that are old, as a part of a cache stamp. */
  outdated(): string {
    const lost = [...this.#deps.mirror.resources.values()].filter((resource) => this.isLost(resource))
    return [...lost.map(({ name, heartbeatAt }) => `${name} ${heartbeatAt}`), ...this.#oldLinks()].join(' ')
  }

  #oldLinks(): string[] {
    const now = this.#deps.now()
    return [...this.#deps.mirror.links.values()]
      .filter((link) => isOld(link, now))
      .map(({ from, to }) => linkId(from, to))
  }

  /** @throws ScissionError queueUnavailable if all machines look lost because Redis takes no heartbeats. */
  async refuseAllLost(): Promise<void> {
    const services = [...this.#deps.mirror.resources.values()].filter(({ source }) => source !== 'imported')
    if (services.length > 0 && services.every((resource) => this.isLost(resource)))
      await this.#deps.checkWritable?.()
  }

  /** @throws ScissionError conflict if one of the named resources is lost. */
  refuseLost(names: readonly string[]): void {
    for (const name of names) {
      const resource = this.#deps.mirror.resources.get(name)
      if (!resource || !this.isLost(resource)) continue
      const message = `resource ${name} is down: no heartbeat since ${resource.heartbeatAt}; start it again or leave it out`
      throw new ScissionError('conflict', message, { resource: name })
    }
  }

  /**
   * Resources that can be planned with: services that are alive or declared present, and imported machines that have a
   * profile of the model. A model that only imported machines have profiles of is planned on those alone.
   */
  #present(question: Question): Resource[] {
    const all = [...this.#deps.mirror.resources.values()]
    const declared = question.whatIf?.present ?? []
    const services = all.filter(
      (resource) =>
        resource.source !== 'imported' && (declared.includes(resource.name) || !this.isLost(resource)),
    )
    if (!all.some((resource) => resource.source === 'imported')) return services
    const profiled = new Set(profilesOf(this.#deps.mirror, question).map((profile) => profile.resource))
    const imported = all.filter(({ source, name }) => source === 'imported' && profiled.has(name))
    const alone = imported.length > 0 && !services.some(({ name }) => profiled.has(name))
    return alone ? imported : [...services, ...imported]
  }

  #buildNow(question: Question, structure: Structure, present: Resource[]): BuiltProblem {
    const { mirror } = this.#deps
    const all = [...mirror.resources.values()]
    const absent = all
      .filter(({ name, source }) => source !== 'imported' && !present.some((one) => one.name === name))
      .map((resource) => ({
        resource: resource.name,
        reason: this.isLost(resource)
          ? `no heartbeat since ${resource.heartbeatAt}`
          : 'it has no profile of this model, which imported machines have',
      }))
    const measured = { resources: present, links: [...mirror.links.values()] }
    const names = all.map(({ name }) => name)
    const { resources, links, leftOut, notes } = question.whatIf
      ? applyWhatIf(measured, question.whatIf, names)
      : { ...measured, leftOut: [], notes: [] }
    const chosen = chooseProfiles(mirror, question, resources, structure)
    const pacing = new Pacing(mirror.paces, question.whatIf?.loads)
    const byName = new Map(resources.map((resource) => [resource.name, resource]))
    const paced = chosen.profiles.flatMap((profile) => {
      const resource = byName.get(profile.resource)
      return resource ? [pacing.bring(profile, resource)] : []
    })
    const codecs = codecsOf(mirror.calibrations.values(), question.model, question.shapesKey)
    const problem: PlanningProblem = {
      structure,
      // A resource without a usable profile may still be the source of the input.
      resources,
      profiles: paced.map(({ profile }) => profile),
      links,
      ...(codecs.codecs.length > 0 && { codecs: codecs.codecs }),
    }
    const unusable = [...chosen.unusable].map(([resource, reason]) => ({ resource, reason }))
    return {
      problem,
      leftOut: [...absent, ...leftOut, ...unusable],
      emulated: emulationNotes(problem),
      notes: [
        ...notes,
        ...pacing.notes,
        ...linkNotes(links, resources, structure, this.#deps.now()),
        ...codecs.notes,
        ...doubtsAbout(chosen.profiles, resources, structure),
      ],
      profiles: chosen.profiles.map(({ id, resource }) => ({ id, resource })),
      paces: paced.flatMap(({ pace }) => pace ?? []),
    }
  }
}

interface Chosen {
  profiles: MirroredProfile[]
  /** Resource → why none of its profiles can be planned with. Resources without any profile are not listed. */
  unusable: Map<string, string>
}

function chooseProfiles(
  mirror: RedisMirror,
  question: Question,
  resources: readonly Resource[],
  structure: Structure,
): Chosen {
  const candidates = question.profiles ? namedProfiles(mirror, question) : profilesOf(mirror, question)
  const unusable = new Map<string, string>()
  const profiles: MirroredProfile[] = []
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

function profilesOf(mirror: RedisMirror, { model, shapesKey }: Question): MirroredProfile[] {
  return withoutRivals(
    [...mirror.profiles.values()].filter(
      (profile) => profile.model === model && profile.shapesKey === shapesKey,
    ),
  )
}

/** Of a measured and an imported profile of the same resource and options, the measured one. */
function withoutRivals(profiles: readonly MirroredProfile[]): MirroredProfile[] {
  const chosen = new Map<string, MirroredProfile>()
  for (const profile of profiles) {
    const key = profileId(profile)
    const rival = chosen.get(key)
    // An imported one may have the plain id: the original's have it.
    if (!rival || rival.source === 'imported') chosen.set(key, profile)
  }
  return [...chosen.values()]
}

/** @throws ScissionError badRequest when they cannot be planned with together. */
function namedProfiles(mirror: RedisMirror, question: Question): MirroredProfile[] {
  const ids = question.profiles ?? []
  const seen = new Map<string, string>()
  checkKnown('profiles', 'profile', ids, [...mirror.profiles.keys()].sort())
  return ids.flatMap((id) => {
    const profile = mirror.profiles.get(id)
    if (!profile) return []
    const refuse = (why: string) =>
      new ScissionError('badRequest', `profiles: ${id} ${why}`, { field: 'profiles', profile: id })
    if (profile.model !== question.model) throw refuse(`is of another model, ${profile.model}`)
    if (profile.shapesKey !== question.shapesKey)
      throw refuse(`is for other input shapes (${profile.shapesKey}, not ${question.shapesKey})`)
    const other = seen.get(profileId(profile))
    if (other !== undefined) throw refuse(`and ${other} are of one resource with the same options: name one`)
    seen.set(profileId(profile), id)
    const resource = mirror.resources.get(profile.resource)
    if (resource && question.options === 'own' && !hasOwnOptions(profile, resource))
      throw refuse(
        `was measured with ${optionsText(profile)}, ${resource.name} runs with ${optionsText(resource)}: ` +
          'say options=any to let the planner choose the options',
      )
    return [profile]
  })
}

/** True if the profile was measured with the runtime options that its resource runs with now. */
function hasOwnOptions(profile: MirroredProfile, { options }: Resource): boolean {
  return profile.options.threads === options.threads && profile.options.optimisation === options.optimisation
}

function isWhole({ layerMs, enterMs, exitMs }: MirroredProfile, { layers, boundaries }: Structure): boolean {
  const sides = [enterMs, exitMs].every((side) => side === undefined || side.length === boundaries.length)
  return layerMs.length === layers.length && sides
}

function whyUnusable(
  own: readonly MirroredProfile[],
  fitting: readonly MirroredProfile[],
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

function doubtsAbout(
  profiles: readonly MirroredProfile[],
  resources: readonly Resource[],
  structure: Structure,
): string[] {
  return profiles.flatMap((profile) => {
    const resource = resources.find(({ name }) => name === profile.resource)
    return [
      ...failedCheck(profile),
      ...(resource ? otherMachine(profile, resource) : []),
      ...otherSamples(profile, structure),
    ]
  })
}

/** The work of a model may depend on its inputs: on lengths, on branches, on zeros. */
function otherSamples(profile: MirroredProfile, { samples }: Structure): string[] {
  if (profile.source === 'imported' || profile.samples === samples) return []
  const values = profile.samples === undefined ? 'made-up inputs' : 'other samples'
  return [
    `the profile of ${profile.resource} was measured with ${values}, before the model's samples changed: ` +
      'benchmark the model on it again',
  ]
}

/** Plans built on such a profile carry a warning; this note adds the size of the error. */
function failedCheck({ resource, predictionError: check }: MirroredProfile): string[] {
  if (!check || check.ok) return []
  const missed = `${percent(check.median)} in the median and ${percent(check.maximum)} at worst`
  return [
    `the profile of ${resource} failed its own check: at cuts it was not fitted to it missed by ${missed}`,
  ]
}

/** A machine or its runtime may have been replaced under the same name. */
function otherMachine(profile: MirroredProfile, resource: Resource): string[] {
  if (profile.source === 'imported') return []
  const differences = machineDifferences(profile, resource)
  if (differences.length === 0) return []
  return [
    `the profile of ${resource.name} was measured on another machine or runtime than it has now ` +
      `(${differences.join('; ')}): benchmark the model on it again`,
  ]
}

function emulationNotes({ resources, links }: PlanningProblem): string[] {
  const slowed = resources.filter((resource) => resource.slowdown > 1)
  const names = new Set(resources.map(({ name }) => name))
  const emulatedLinks = links.filter(
    ({ from, to, emulated, source }) => emulated && source === 'measured' && names.has(from) && names.has(to),
  )
  const speeds = slowed.map(({ name, slowdown }) => `${name} runs ${slowdown}x slower than this machine`)
  const pairs = emulatedLinks.map((link) => `${link.from} to ${link.to}`)
  return [
    ...(speeds.length > 0 ? [`emulated speed: ${speeds.join(', ')}`] : []),
    ...(pairs.length > 0 ? [`emulated links: ${pairs.join(', ')}`] : []),
  ]
}

interface Cell {
  boundary: number
  bytesRatio: number
  accuracyLoss: number
  calibration: MirroredCalibration
}

/**
 * For each codec and boundary, uses the newest calibration on real samples, or on made-up samples if there is no other.
 * Its bytes and accuracy hold on every resource. The accuracy loss is the upper 95 % bound.
 */
function codecsOf(
  calibrations: Iterable<MirroredCalibration>,
  model: string,
  shapesKey: string,
): { codecs: NonNullable<Problem['codecs']>; notes: string[] } {
  const own = calibrationsOf(calibrations, model, shapesKey)
  const cells = new Map<string, Map<number, Cell>>()
  for (const calibration of own) {
    for (const { boundary, codec, bytesRatio, lossBound } of calibration.cells) {
      const known = cells.get(codec) ?? new Map<number, Cell>()
      cells.set(codec, known.set(boundary, { boundary, bytesRatio, accuracyLoss: lossBound, calibration }))
    }
  }
  // The codec `none` is always available.
  cells.delete('none')
  const codecs = [...cells]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, byBoundary]) => ({
      name,
      cells: [...byBoundary.values()]
        .sort((a, b) => a.boundary - b.boundary)
        .map(({ boundary, bytesRatio, accuracyLoss }) => ({ boundary, bytesRatio, accuracyLoss })),
    }))
  return { codecs, notes: notesOf(cells) }
}

/** The completed calibrations of a model: of two that state the same, the later in the list counts. */
export const calibrationsOf = (
  calibrations: Iterable<MirroredCalibration>,
  model: string,
  shapesKey: string,
): MirroredCalibration[] =>
  [...calibrations]
    .filter((one) => one.model === model && one.shapesKey === shapesKey && one.state === 'completed')
    .sort((a, b) => Number(isReal(a)) - Number(isReal(b)) || (a.createdAt < b.createdAt ? -1 : 1))

const isReal = ({ sampleSource }: MirroredCalibration) => sampleSource !== 'made-up'

function notesOf(cells: ReadonlyMap<string, ReadonlyMap<number, Cell>>): string[] {
  const used = new Set(
    [...cells.values()].flatMap((one) => [...one.values()].map((cell) => cell.calibration)),
  )
  const madeUp = [...used].filter((calibration) => !isReal(calibration))
  if (madeUp.length === 0) return []
  const ids = madeUp.map((calibration) => calibration.id).join(', ')
  return [
    `codecs were calibrated on made-up samples (${ids}): their accuracy losses say little about real inputs`,
  ]
}
