/**
 * Builds the optimiser's problem from the mirror: which resources, profiles, links and codecs count for a query, which do
 * not, and why. The same question at the same revision gets the same object, so that the optimiser can reuse what it
 * compiled from it.
 */
import { LRUCache } from 'lru-cache'
import type { Structure } from '../../../shared/contracts/model.ts'
import { type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import type { PaceOfPlan } from '../../../shared/contracts/plan-pace.ts'
import { linkId } from '../../../shared/platform/redis/state.ts'
import { isOld, linkNotes } from './link-notes.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Question } from './question.ts'
import type { PlanningProblem } from './solver.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import { chooseProfiles, profilesOf } from './chosen-profiles.ts'
import { doubtsAbout, emulationNotes } from './problem-notes.ts'
import { Pacing } from './todays-pace.ts'
import { codecsOf } from './usable-codecs.ts'
import { applyWhatIf } from './what-if.ts'

export interface ProblemBuilderDeps {
  mirror: RedisMirror
  heartbeatMs: number
  /** Epoch ms of Redis' clock. */
  now: () => number
  /** Asked if every machine looks lost. @throws ScissionError queueUnavailable if Redis takes no heartbeats. */
  checkWritable?: () => Promise<void>
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
