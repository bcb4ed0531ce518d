/** What an experiment asks: each model with each query, deployed, with inputs. */
import { isDeepStrictEqual } from 'node:util'
import { createInferenceClient, type InferenceClient } from '../../shared/client/inference.ts'
import type { Experiment, ExperimentQuery } from '../../shared/contracts/experiment.ts'
import type { InputShapes } from '../../shared/contracts/common.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { inferInputs } from '../cli/commands/infer-inputs.ts'
import type { Context } from '../cli/context.ts'
import { untilLive } from '../steps/deploy-plan.ts'
import { runBenchmark } from '../steps/run-benchmark.ts'
import { nameOfFile, uploadFiles } from '../steps/upload-model.ts'
import type { ProgressDisplay } from '../terminal/progress.ts'
import type { OwnDeployments } from './own-deployments.ts'

export interface Subject {
  model: string
  modelId: string
  label: string
  plan: string
}

export interface Live extends Subject {
  deployment: string
  client: InferenceClient
  inputs: Tensor[]
}

type Services = Pick<Context, 'benchmark' | 'planner'>

export interface SubjectOptions {
  /** Plans of a run that is resumed: those stay. */
  earlier: readonly { model: string; query: string; plan: string }[]
  /** Ends the wait for a benchmark. */
  signal: AbortSignal
  /** Makes a display of what is measured first. */
  progress: () => ProgressDisplay
}

/**
 * The plan of each model and query. Models that are files are uploaded, and measured unless all of their plans are known.
 * @throws ScissionError, in which the model or the query is named; cancelled by the signal.
 */
export async function subjectsOf(
  context: Services,
  { models, queries }: Experiment,
  { earlier, ...waiting }: SubjectOptions,
): Promise<Subject[]> {
  const subjects: Subject[] = []
  for (const [at, model] of models.entries()) {
    const plans = earlier.filter((one) => one.model === model)
    const isPlanned = queries.every(({ label }) => plans.some(({ query }) => query === label))
    const id = await naming(`models[${at}]`, () =>
      modelOf(context, model, isPlanned ? undefined : { queries, ...waiting }),
    )
    for (const [index, query] of queries.entries()) {
      const known = plans.find((one) => one.query === query.label)
      if (known && !known.plan.startsWith(`${id}.`))
        throw new ScissionError(
          'conflict',
          `models[${at}]: ${model} is another model than when the experiment began: give another folder as output`,
        )
      const plan = known?.plan ?? (await naming(`queries[${index}]`, () => planOf(context, id, query)))
      subjects.push({ model, modelId: id, label: query.label, plan })
    }
  }
  return subjects
}

/** @param measured what a model that is a file is measured for; not at all without. @returns its id. */
async function modelOf(
  { benchmark }: Pick<Services, 'benchmark'>,
  model: string,
  measured: (Omit<SubjectOptions, 'earlier'> & Pick<Experiment, 'queries'>) | undefined,
): Promise<string> {
  if (!model.endsWith('.onnx')) return (await benchmark.model(model)).id
  const { id } = await uploadFiles(benchmark, model, { name: nameOfFile(model) })
  if (measured === undefined) return id
  const { queries, progress, signal } = measured
  // What was measured lately on a machine is not measured again.
  for (const inputShapes of shapesOf(queries))
    await runBenchmark(benchmark, { model: id, inputShapes }, progress(), signal)
  return id
}

/** The input shapes that queries ask for, each once. */
function shapesOf(queries: Experiment['queries']): (InputShapes | undefined)[] {
  const all = queries.map(({ query }) => query.inputShapes)
  return all.filter((shapes, at) => all.findIndex((one) => isDeepStrictEqual(one, shapes)) === at)
}

async function planOf(
  { planner }: Pick<Services, 'planner'>,
  model: string,
  { query, deploy }: ExperimentQuery,
): Promise<string> {
  if (!/^(best|native:)/.test(deploy)) {
    if (deploy.startsWith(`${model}.`)) return deploy
    throw new ScissionError('badRequest', `deploy: the plan is of another model than ${model}`)
  }
  const { plans, native } = await planner.plans({ ...query, model })
  const resource = deploy.startsWith('native:') ? deploy.slice('native:'.length) : undefined
  const found: Plan | undefined =
    resource === undefined ? plans[0] : native.find(({ stages }) => stages[0]?.resource === resource)
  if (found) return found.id
  const known = native.map(({ stages }) => `native:${stages[0]?.resource}`).join(', ')
  throw new ScissionError('notFound', `deploy: there is no ${deploy} of this model; there is ${known}`)
}

interface Deploying {
  own: OwnDeployments
  /** Ends the wait for a deployment. */
  signal: AbortSignal
  /** Of inputs that are made up. */
  seed: number
}

/** Deploys a subject under a name of its own, which is noted: also if this fails, it is for `own` to take down. */
export async function deploySubject(
  context: Context,
  subject: Subject,
  { own, signal, seed }: Deploying,
): Promise<Live> {
  const { planner } = context
  const name = await own.name(subject.plan)
  await own.made(await planner.deploy({ plan: subject.plan, name }))
  const { entry } = await untilLive(planner, name, { signal })
  const client = createInferenceClient(entry.resource, entry.url, context.known, context.credentials)
  const asked = { client, source: subject.modelId, model: name }
  return { ...subject, deployment: name, client, inputs: await inferInputs(context, asked, { seed }) }
}

async function naming<T>(field: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError)) throw thrown
    throw new ScissionError(thrown.code, `${field}: ${thrown.message}`, thrown.details, thrown)
  }
}
