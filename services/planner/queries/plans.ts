/** Answers to plan queries: what the optimiser found, with what the service knows beside it. */
import type { GraphPlanAnswer } from '../../../shared/contracts/graph-plan.ts'
import type { Plan, PlanQuery } from '../../../shared/contracts/plan.ts'
import type { ExplainedAnswer } from '../../../shared/contracts/plan-answer.ts'
import type { SweepAnswer, SweepRequest } from '../../../shared/contracts/plan-sweep.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { parsePlanId } from '../../../shared/contracts/plan-id.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import type { Gathered, GatherParts } from './gather.ts'
import { missingFigures } from '../optimiser/figures.ts'
import { evaluatePlan } from '../optimiser/index.ts'
import { gatherFor, type Knowledge, refuseLost } from './question.ts'
import type { GatheredProblem } from './solve.ts'
import { KeptAnswers } from './kept-answers.ts'
import type { SolverThread } from './solver-thread.ts'

export interface PlannerParts extends GatherParts, Knowledge {
  state: State
  solver: SolverThread
  answers: KeptPlans
}

/** What of an answer stays until something that it was made from changes; what serving says is added each time. */
type Made = { profiles: Gathered['profiles'] } & (
  | { view: 'chain'; answer: Omit<ExplainedAnswer, 'served'> }
  | { view: 'graph'; answer: Omit<GraphPlanAnswer, 'served'> }
)
export type KeptPlans = KeptAnswers<Made>

/** Answers to plan queries, kept while no document that plans depend on changes and no resource comes or goes. */
export function keepPlans({ view, gatherer }: Knowledge, most?: number): KeptPlans {
  return new KeptAnswers({
    stamp: () => `${view.revision} ${gatherer.lost()}`,
    // With more time the same question may be answered better.
    sizeOf: ({ answer }) => (answer.gap ? undefined : answer.plans.length + answer.native.length),
    ...(most !== undefined && { most }),
  })
}

export async function answerPlans(
  parts: PlannerParts,
  query: PlanQuery,
): Promise<ExplainedAnswer | GraphPlanAnswer> {
  const make = query.view === 'graph' ? answerGraph : answerChain
  const made = await parts.answers.get(JSON.stringify(query), () => make(parts, query))
  return { ...made.answer, served: servedOf(parts, made.profiles) }
}

async function answerChain(parts: PlannerParts, query: PlanQuery): Promise<Made> {
  const { question, gathered } = await gatherFor(parts, query)
  const solved = await parts.solver.solve<'chain'>({ kind: 'chain', problem: gathered.problem, query })
  const answer = {
    model: question.model,
    shapesKey: question.shapesKey,
    objective: query.objective,
    confidence: query.confidence,
    ...(query.pareto && { pareto: query.pareto }),
    ...solved,
    leftOut: mergeLeftOut(gathered.leftOut, solved.leftOut),
    emulated: [...solved.plans, ...solved.native].some((plan) => plan.emulated),
    notes: [...notesOf(gathered.problem), ...missingFigures(gathered.problem, query), ...gathered.notes],
  }
  return { view: 'chain', answer, profiles: gathered.profiles }
}

async function answerGraph(parts: PlannerParts, query: PlanQuery): Promise<Made> {
  const { question, gathered } = await gatherFor(parts, query)
  const { problem } = gathered
  const solved = await parts.solver.solve<'graph'>({ kind: 'graph', problem, query })
  const { plans, native, why, gap } = solved
  const answer: Omit<GraphPlanAnswer, 'served'> = {
    view: 'graph',
    model: question.model,
    shapesKey: question.shapesKey,
    objective: query.objective,
    confidence: query.confidence,
    plans,
    native,
    why,
    gap,
    leftOut: mergeLeftOut(gathered.leftOut, withoutProfile(problem)),
    emulated: [...plans, ...native].some((plan) => plan.emulated),
    notes: [...notesOf(problem), ...missingFigures(problem, query), ...gathered.notes, ...solved.notes],
  }
  return { view: 'graph', answer, profiles: gathered.profiles }
}

/** @throws ScissionError as a plan query does; a cell without a plan is part of the answer. */
export async function answerSweep(parts: PlannerParts, { query, axes }: SweepRequest): Promise<SweepAnswer> {
  const { question, gathered } = await gatherFor(parts, query)
  const { problem } = gathered
  const map = await parts.solver.solve<'sweep'>({ kind: 'sweep', problem, query, axes })
  return {
    ...map,
    model: question.model,
    shapesKey: question.shapesKey,
    objective: query.objective,
    axes,
    // Each cell is planned under conditions that were given, not measured.
    emulated: true,
    notes: [...notesOf(problem), ...missingFigures(problem, query), ...gathered.notes],
  }
}

/** The plan that an id names, at today's profiles and links. @throws ScissionError notFound, notMeasured. */
export async function planById(parts: PlannerParts, id: string): Promise<Plan> {
  await parts.view.ready()
  const named = parsePlanId(id)
  if (!parts.view.models.has(named.model))
    throw new ScissionError('notFound', `plan ${id}: its model is not registered`, { model: named.model })
  const resources = [named.source, ...named.stages.map((stage) => stage.resource)]
  refuseLost(parts, resources)
  refuseImported(parts, resources)
  const { problem } = await parts.gatherer.gather({
    model: named.model,
    shapesKey: named.shapesKey,
    whatIf: undefined,
    options: 'any',
    profiles: undefined,
  })
  return evaluatePlan(problem, named)
}

/** @throws ScissionError conflict: there is no service behind an imported machine. */
function refuseImported({ view }: PlannerParts, names: readonly string[]): void {
  const name = names.find((one) => view.resources.get(one)?.source === 'imported')
  if (name === undefined) return
  const message = `resource ${name} was imported with its measurements: it can be planned with, not deployed to`
  throw new ScissionError('conflict', message, { resource: name })
}

/** What serving says of the profiles: shown beside the plans, never part of them. */
function servedOf({ view }: PlannerParts, profiles: Gathered['profiles']): ExplainedAnswer['served'] {
  return profiles.flatMap(({ id, resource }) => {
    const served = view.served.get(id)
    return served ? [{ ...served, resource }] : []
  })
}

/** The graph view passes over them in silence. */
function withoutProfile({ resources, profiles }: GatheredProblem): Gathered['leftOut'] {
  const profiled = new Set(profiles.map((profile) => profile.resource))
  return resources
    .filter(({ name }) => !profiled.has(name))
    .map(({ name }) => ({
      resource: name,
      reason: 'it has no profile of this model: benchmark the model on it',
    }))
}

/** The service knows more of why a resource was left out than the optimiser, which only misses its profile. */
function mergeLeftOut(ours: Gathered['leftOut'], optimisers: Gathered['leftOut']): Gathered['leftOut'] {
  const said = new Set(ours.map(({ resource }) => resource))
  return [...ours, ...optimisers.filter(({ resource }) => !said.has(resource))]
}

function notesOf(problem: GatheredProblem): string[] {
  const slowed = problem.resources.filter((resource) => resource.slowdown > 1)
  const names = new Set(problem.resources.map(({ name }) => name))
  const emulatedLinks = problem.links.filter(
    ({ from, to, emulated, source }) => emulated && source === 'measured' && names.has(from) && names.has(to),
  )
  const speeds = slowed.map(({ name, slowdown }) => `${name} runs ${slowdown}x slower than this machine`)
  const links = emulatedLinks.map((link) => `${link.from} to ${link.to}`)
  return [
    ...(speeds.length > 0 ? [`emulated speed: ${speeds.join(', ')}`] : []),
    ...(links.length > 0 ? [`emulated links: ${links.join(', ')}`] : []),
  ]
}
