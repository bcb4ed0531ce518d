/** What a plan's names stand for in a problem. */
import { ScissionError } from '../../platform/errors.ts'
import type { PlanParts, PlanStage } from '../../contracts/plan-id.ts'
import { nearest } from './names.ts'
import { optionsText, sameOptions } from './options.ts'
import {
  ownOptions,
  type PlanningLink,
  type PlanningProfile,
  type PlanningResource,
  type Problem,
  profilesOf,
} from './problem.ts'

/** The resources a request passes, in order: the source first, even if it runs nothing. */
export function pathOf({ source, stages }: PlanParts): readonly PlanStage[] {
  return stages[0]?.resource === source ? stages : [{ resource: source, from: 0, to: 0 }, ...stages]
}

/** @throws ScissionError notFound. */
export function resourceNamed(problem: Problem, name: string): PlanningResource {
  const found = problem.resources.find((resource) => resource.name === name)
  if (found) return found
  const known = problem.resources.map((resource) => resource.name).sort()
  throw new ScissionError('notFound', `unknown resource ${name}${nearest(name, known)}`, { known })
}

/** The profile of the stage's resource with its options. @throws ScissionError notMeasured. */
export function profileOf(problem: Problem, { resource, options }: PlanStage): PlanningProfile {
  const wanted = options ?? ownOptions(problem, resourceNamed(problem, resource))
  const all = problem.profiles.filter((profile) => profile.resource === resource)
  const found = all.find((profile) => sameOptions(profile.options, wanted))
  if (found) return found
  const which = all.length === 0 ? '' : optionsText(wanted)
  throw new ScissionError(
    'notMeasured',
    `${resource} has no profile of this model${which}: benchmark the model on it`,
  )
}

/** How fast it codes: a source that runs nothing does it as its first profile says. @throws ScissionError notMeasured. */
export function speedOf(problem: Problem, stage: PlanStage, codec: string) {
  const runsNothing = stage.to === stage.from
  const profile = runsNothing
    ? profilesOf(problem, resourceNamed(problem, stage.resource))[0]
    : profileOf(problem, stage)
  const speed = profile?.codecs?.find((one) => one.codec === codec)
  if (speed) return speed
  throw new ScissionError(
    'notMeasured',
    `how fast ${stage.resource} is at codec ${codec} is not measured: benchmark the model on it again`,
  )
}

/** @throws ScissionError notMeasured naming the pair. */
export function linkOf(problem: Problem, from: string, to: string): PlanningLink {
  const found = problem.links.find((link) => link.from === from && link.to === to)
  if (found) return found
  throw new ScissionError(
    'notMeasured',
    `the link ${from} → ${to} is not measured: measure it or give its figures`,
  )
}

/** True when a slowdown or a link behind the plan's numbers is emulated. */
export function isEmulated(problem: Problem, parts: PlanParts): boolean {
  const path = pathOf(parts)
  const slowed = parts.stages.some((stage) => {
    const { emulated, slowdown } = resourceNamed(problem, stage.resource)
    return emulated || slowdown !== 1 || profileOf(problem, stage).emulated
  })
  return (
    slowed ||
    path.slice(1).some(({ resource }, hop) => linkOf(problem, path[hop]!.resource, resource).emulated)
  )
}

/** What makes a plan's numbers doubtful. */
export function warningsFrom(profiles: readonly PlanningProfile[]): string[] {
  const failed = profiles.filter(({ predictionError }) => predictionError?.ok === false)
  return failed.map(({ resource }) => `the profile of ${resource} failed its own check`)
}
