/**
 * Answers plan queries: from a query to a question, from the question to a problem, from the problem to plans.
 *
 *   query ── poseProblem ──▶ BuiltProblem ── SolverThread ──▶ plans ──▶ answer, cached until something changes
 */
import { LRUCache } from 'lru-cache'
import type { InputShapes, ShapesKey } from '../../../shared/contracts/common.ts'
import type { GraphPlanAnswer } from '../../../shared/contracts/graph-plan.ts'
import type { Model } from '../../../shared/contracts/model.ts'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { ExplainedAnswer, SweepAnswer, SweepRequest } from '../../../shared/contracts/plan-sweep.ts'
import { whatIfOf } from '../../../shared/contracts/what-if-fields.ts'
import { shapesKeyOf } from '../../../shared/onnx/canonical/shapes-key.ts'
import { resolveInputShapes } from '../../../shared/onnx/canonical/declared-tensors.ts'
import { missingFigures } from '../../../shared/planning/index.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import { refuseLongInput } from './entry-limit.ts'
import type { BuiltProblem, ProblemBuilder, ProblemBuilderDeps } from './problem-builder.ts'
import type { Question } from './question.ts'
import { paceText } from './todays-pace.ts'
import type { PlanningProblem, SolverThread } from './solver.ts'

/** The planner's state and how problems are built from it. */
export interface QueryDeps {
  mirror: RedisMirror
  builder: ProblemBuilder
}

export interface PlannerDeps extends ProblemBuilderDeps, QueryDeps {
  state: State
  solver: SolverThread
  answers: PlanCache
}

/** The part of an answer that is cached. Served times change with every request, so they are added at each query. */
type CachedAnswer = { profiles: BuiltProblem['profiles'] } & (
  | { view: 'chain'; answer: Omit<ExplainedAnswer, 'served'> }
  | { view: 'graph'; answer: Omit<GraphPlanAnswer, 'served'> }
)
export type PlanCache = AnswerCache<CachedAnswer>

/** A cache of answers that is valid until a document that plans depend on changes, or a resource is lost or returns. */
export function createPlanCache({ mirror, builder }: QueryDeps, maxSize?: number): PlanCache {
  return new AnswerCache({
    stamp: () => `${mirror.revision} ${builder.outdated()}`,
    // An answer with a gap was cut short by its time limit: the same question may get a better one later.
    sizeOf: ({ answer }) => (answer.gap ? undefined : answer.plans.length + answer.native.length),
    ...(maxSize !== undefined && { maxSize }),
  })
}

/** @throws ScissionError as `poseProblem` and the solver do. */
export async function answerPlans(
  deps: PlannerDeps,
  query: PlanQuery,
  { client }: Asker,
): Promise<ExplainedAnswer | GraphPlanAnswer> {
  const compute = query.view === 'graph' ? answerGraph : answerChain
  // Worked out even if the client leaves: another request of it may wait for the same answer.
  const cached = await deps.answers.get(JSON.stringify(query), () => compute(deps, query, { client }), client)
  return { ...cached.answer, served: servedOf(deps, cached.profiles) }
}

async function answerChain(deps: PlannerDeps, query: PlanQuery, asker: Asker): Promise<CachedAnswer> {
  const { question, built } = await poseProblem(deps, query)
  const solved = await deps.solver.solve<'chain'>({ kind: 'chain', problem: built.problem, query }, asker)
  const answer = {
    model: question.model,
    shapesKey: question.shapesKey,
    objective: query.objective,
    confidence: query.confidence,
    ...(query.pareto && { pareto: query.pareto }),
    ...solved,
    leftOut: mergeLeftOut(built.leftOut, solved.leftOut),
    emulated: [...solved.plans, ...solved.native].some((plan) => plan.emulated),
    paces: built.paces,
    notes: notesOf(built, query),
  }
  return { view: 'chain', answer, profiles: built.profiles }
}

async function answerGraph(deps: PlannerDeps, query: PlanQuery, asker: Asker): Promise<CachedAnswer> {
  const { question, built } = await poseProblem(deps, query)
  const { problem } = built
  const solved = await deps.solver.solve<'graph'>({ kind: 'graph', problem, query }, asker)
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
    leftOut: mergeLeftOut(built.leftOut, withoutProfile(problem)),
    emulated: [...plans, ...native].some((plan) => plan.emulated),
    paces: built.paces,
    notes: [...notesOf(built, query), ...solved.notes],
  }
  return { view: 'graph', answer, profiles: built.profiles }
}

/** @throws ScissionError as a plan query does. A cell without a plan is no error but part of the answer. */
export async function answerSweep(
  deps: PlannerDeps,
  { query, axes }: SweepRequest,
  asker: Asker,
): Promise<SweepAnswer> {
  const { question, built } = await poseProblem(deps, query)
  const { problem } = built
  const map = await deps.solver.solve<'sweep'>({ kind: 'sweep', problem, query, axes }, asker)
  return {
    ...map,
    model: question.model,
    shapesKey: question.shapesKey,
    objective: query.objective,
    axes,
    // Every cell is planned under conditions that were given, not measured.
    emulated: true,
    notes: notesOf(built, query),
  }
}

/**
 * From a query to the problem that it poses.
 * @throws ScissionError notFound, needsInputShapes, notMeasured, conflict (a resource that is needed is down), badRequest.
 */
async function poseProblem(
  deps: QueryDeps,
  query: PlanQuery,
): Promise<{ question: Question; built: BuiltProblem }> {
  const { mirror, builder } = deps
  await mirror.ready()
  const model = mirror.model(query.model)
  const shapesKey = query.inputShapes
    ? await analysedFor(mirror, model, resolveInputShapes(model.inputs, query.inputShapes))
    : shapesKeyOrThrow(model)
  const question: Question = {
    model: model.id,
    shapesKey,
    whatIf: whatIfOf(query),
    options: query.options ?? 'own',
    profiles: query.profiles,
  }
  refuseContradictions(query)
  await builder.refuseAllLost()
  builder.refuseLost(neededBy(deps, query))
  const built = await builder.build(question)
  if (built.problem.resources.length === 0 && built.leftOut.length > 0) throw nothingToPlanWith(built)
  if (built.problem.resources.length > 0) refuseLongInput(built.problem, query.source)
  return { question, built }
}

function nothingToPlanWith({ leftOut }: BuiltProblem): ScissionError {
  const reasons = leftOut.map(({ resource, reason }) => `${resource}: ${reason}`).join('; ')
  return new ScissionError('notMeasured', `no resource can be planned with: ${reasons}`, { leftOut })
}

/** @throws ScissionError notMeasured if the model was not analysed for these shapes. */
async function analysedFor(mirror: RedisMirror, model: Model, inputShapes: InputShapes): Promise<ShapesKey> {
  const shapesKey = shapesKeyOf(inputShapes)
  try {
    await mirror.structure(model.id, shapesKey)
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code !== 'notFound') throw error
    const text = Object.entries(inputShapes).map(([name, dims]) => `${name}:${dims.join('x')}`)
    throw new ScissionError(
      'notMeasured',
      `model ${model.name} has not been measured with input shapes ${text.join(',')}: ` +
        'benchmark it with these first (inputShapes of POST /v1/benchmarks)',
      { field: 'inputShapes', inputShapes },
    )
  }
  return shapesKey
}

/** @throws ScissionError needsInputShapes if the model has open dimensions. */
function shapesKeyOrThrow(model: Model): ShapesKey {
  if (model.shapesKey) return model.shapesKey
  const open = model.inputs.filter((input) => input.shape.some((dim) => typeof dim === 'string'))
  const names = open.map((input) => input.name).join(', ')
  throw new ScissionError(
    'needsInputShapes',
    `model ${model.name} has open dimensions in ${names}: give inputShapes (shapes=name:1x3x224x224 in a URL)`,
    { inputs: open },
  )
}

/** @throws ScissionError badRequest if the query needs a resource that it also declares absent. */
function refuseContradictions(query: PlanQuery): void {
  const needed = [
    ...(query.source ? [['source', query.source] as const] : []),
    ...(query.mustUseResources ?? []).map((name) => ['mustUseResources', name] as const),
  ]
  for (const [field, name] of needed) {
    const absent = query.without?.includes(name) ? 'without' : undefined
    const notOnly = query.only && !query.only.includes(name) ? 'only' : undefined
    const what = absent ?? notOnly
    if (what === undefined) continue
    const message = `${field}: ${name} cannot be asked for, because ${what} says that it is not there`
    throw new ScissionError('badRequest', message, { field, contradicts: what })
  }
}

/** Names of the resources that the query cannot be answered without, unless it declares them present. */
function neededBy({ mirror, builder }: QueryDeps, query: PlanQuery): string[] {
  const needed = [
    ...(query.source ? [query.source] : []),
    ...(query.mustUseResources ?? []),
    ...(query.mustUseTiers ?? []).flatMap((tier) => {
      const all = [...mirror.resources.values()].filter((resource) => resource.tier === tier)
      const usable = all.some((one) => query.present?.includes(one.name) || !builder.isLost(one))
      return usable ? [] : all.map((resource) => resource.name)
    }),
  ]
  return needed.filter((name) => !query.present?.includes(name))
}

/** Served times of the profiles that an answer was planned with: shown beside the plans, never planned with. */
function servedOf({ mirror }: PlannerDeps, profiles: BuiltProblem['profiles']): ExplainedAnswer['served'] {
  return profiles.flatMap(({ id, resource }) => {
    const served = mirror.served.get(id)
    return served ? [{ ...served, resource }] : []
  })
}

/** The graph view ignores resources without a profile and does not report them; the chain view reports them itself. */
function withoutProfile({ resources, profiles }: PlanningProblem): BuiltProblem['leftOut'] {
  const profiled = new Set(profiles.map((profile) => profile.resource))
  return resources
    .filter(({ name }) => !profiled.has(name))
    .map(({ name }) => ({
      resource: name,
      reason: 'it has no profile of this model: benchmark the model on it',
    }))
}

/** The builder's reason wins: the optimiser only knows that a profile is missing, the builder knows why. */
function mergeLeftOut(
  builders: BuiltProblem['leftOut'],
  optimisers: BuiltProblem['leftOut'],
): BuiltProblem['leftOut'] {
  const explained = new Set(builders.map(({ resource }) => resource))
  return [...builders, ...optimisers.filter(({ resource }) => !explained.has(resource))]
}

const notesOf = (built: BuiltProblem, query: PlanQuery): string[] => [
  ...built.emulated,
  ...built.paces.map(paceText),
  ...missingFigures(built.problem, query),
  ...built.notes,
]

interface Entry<T> {
  stamp: string
  answer: Promise<T>
}

export interface AnswerCacheOptions<T> {
  /** Identifies the state that answers are computed from. Equal stamps mean that no answer has become outdated. */
  stamp: () => string
  /** The share of `maxSize` that an answer takes, in plans. Undefined: the answer is not kept. */
  sizeOf: (answer: T) => number | undefined
  /** @defaultValue 2000 plans, which take about 6 MB at their largest. */
  maxSize?: number
}

/** One plan takes about as much memory as a question of this length. */
const CHARACTERS_PER_PLAN = 2000

/** An `infeasible` error is an answer too and counts as one plan. */
const ERROR_SIZE = 1

/**
 * Keeps answers until something that they depend on changes. A repeated question costs one look-up, and two requests of a client
 * that ask the same question at the same time wait for one computation. Not so those of two clients: each waits for its own turn.
 */
export class AnswerCache<T> {
  readonly #options: AnswerCacheOptions<T>
  /** Answers that are complete. Its size is a sum over plans; an entry larger than the whole is not kept. */
  readonly #complete: LRUCache<string, Entry<T>>
  /** Answers that are being computed now, by client and question. */
  readonly #pending = new Map<string, Entry<T>>()

  constructor(options: AnswerCacheOptions<T>) {
    this.#options = options
    this.#complete = new LRUCache({ maxSize: options.maxSize ?? 2000 })
  }

  /** Plans held now; never above `maxSize`. */
  get size(): number {
    return this.#complete.calculatedSize
  }

  /**
   * @param client whose turn the computation waits for.
   * @returns the answer kept under `key` if its stamp is still current, else the result of `compute`.
   * @throws what `compute` throws.
   */
  async get(key: string, compute: () => Promise<T>, client = ''): Promise<T> {
    const stamp = this.#options.stamp()
    const own = `${client} ${key}`
    const known = this.#pending.get(own) ?? this.#complete.get(key)
    if (known?.stamp === stamp) return await known.answer
    this.#complete.delete(key)
    const entry = { stamp, answer: compute() }
    this.#pending.set(own, entry)
    const plans = await entry.answer.then(this.#options.sizeOf, sizeOfError)
    // A later question with another stamp may have replaced this entry meanwhile.
    if (this.#pending.get(own) === entry) {
      this.#pending.delete(own)
      // If the state changed during the computation, the answer may belong to either state: it is not kept.
      if (plans !== undefined && stamp === this.#options.stamp())
        this.#complete.set(key, entry, {
          size: Math.max(1, plans + Math.floor(key.length / CHARACTERS_PER_PLAN)),
        })
    }
    return await entry.answer
  }
}

/** That no plan satisfies the constraints stays true until something changes; other failures may be temporary. */
function sizeOfError(thrown: unknown): number | undefined {
  const error = coerceError(thrown)
  return error instanceof ScissionError && error.code === 'infeasible' ? ERROR_SIZE : undefined
}
