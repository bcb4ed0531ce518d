/** What an experiment asks: each model with each query, deployed, with inputs. */
import { randomBytes } from 'node:crypto'
import { createInferenceClient, type InferenceClient } from '../../shared/client/inference.ts'
import type { Experiment, ExperimentQuery } from '../../shared/contracts/experiment.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { inferInputs } from '../cli/commands/infer-inputs.ts'
import type { Context } from '../cli/context.ts'
import { deployAndWait } from '../steps/deploy-plan.ts'
import { uploadFiles } from '../steps/upload-model.ts'
import path from 'node:path'

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

/**
 * The plan of each model and query. Models that are files are uploaded.
 * @param earlier plans of a run that is resumed: those stay.
 * @throws ScissionError, in which the query is named.
 */
export async function subjectsOf(
  context: Pick<Context, 'benchmark' | 'planner'>,
  { models, queries }: Experiment,
  earlier: readonly { model: string; query: string; plan: string }[],
): Promise<Subject[]> {
  const subjects: Subject[] = []
  for (const model of models) {
    const { id } = await modelOf(context, model)
    for (const [index, query] of queries.entries()) {
      const known = earlier.find((one) => one.model === model && one.query === query.label)
      const plan = known?.plan ?? (await naming(`queries.${index}`, () => planOf(context, id, query)))
      subjects.push({ model, modelId: id, label: query.label, plan })
    }
  }
  return subjects
}

async function modelOf({ benchmark }: Pick<Context, 'benchmark'>, model: string) {
  if (!model.endsWith('.onnx')) return benchmark.model(model)
  return uploadFiles(benchmark, model, { name: path.basename(model, '.onnx') })
}

async function planOf(
  { planner }: Pick<Context, 'planner'>,
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

/** Deploys a subject under a name of its own. @param seed of inputs that are made up. */
export async function deploySubject(context: Context, subject: Subject, seed: number): Promise<Live> {
  const name = `experiment-${randomBytes(4).toString('hex')}`
  try {
    const { entry } = await deployAndWait(context.planner, { plan: subject.plan, name })
    const client = createInferenceClient(entry.resource, entry.url, context.known)
    const asked = { client, source: subject.modelId, model: name }
    return { ...subject, deployment: name, client, inputs: await inferInputs(context, asked, { seed }) }
  } catch (thrown) {
    // What was begun must not stay; the reason of the failure is what counts.
    await context.planner.undeploy(name).catch(() => undefined)
    throw thrown
  }
}

async function naming<T>(field: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError)) throw thrown
    throw new ScissionError(thrown.code, `${field}: ${thrown.message}`, thrown.details, thrown)
  }
}
