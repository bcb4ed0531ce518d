/** A model measured, planned over several machines, deployed and asked. */
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { runBenchmark } from '../../infra/steps/run-benchmark.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import { coerceError } from '../../shared/platform/errors.ts'
import type { InferResponse } from '../../shared/oip/response-message.ts'
import { type Do, type Driven, type Found, hasJsonForm, mapOf } from './driven.ts'
import { inferByJson } from './json-infer.ts'

const QUIET = { update: () => {}, stop: () => {} }

export async function deployed(driven: Driven, step: Do): Promise<void> {
  const { system, model, inputs, structure } = driven
  const planner = createPlannerClient(system.plannerUrl)
  const values = [...inputs.values()]
  const isMeasured = await step('benchmark', async () => {
    await runBenchmark(createBenchmarkClient(system.benchmarkUrl), { model }, QUIET)
    return {}
  })
  if (!isMeasured) return
  let plan = ''
  const isPlanned = await step('plan', async () => {
    plan = await bestPlan(planner, driven)
    return {}
  })
  if (!isPlanned) return
  let id = ''
  let url = ''
  const isLive = await step('deploy', async () => {
    const deployment = await deployAndWait(planner, { plan })
    id = deployment.id
    url = deployment.entry.url
    return {}
  })
  if (!isLive) return
  const entry = createInferenceClient('entry', url)
  await step('infer', async () => checkPlanned(driven, await entry.infer(id, values)))
  if (hasJsonForm(values) && hasJsonForm(structure.outputs))
    await step('inferJson', async () => checkPlanned(driven, await inferByJson(url, id, values)))
  await step('undeploy', async () => {
    await planner.undeploy(id)
    return {}
  })
}

/** At clean cuts if there is such a plan. */
async function bestPlan(planner: PlannerClient, { model, given }: Driven): Promise<string> {
  const ask = async (cuts: 'clean' | 'any') => {
    const { plans } = await planner.plans({ model, top: 1, cuts, ...given.query })
    const [best] = plans
    if (!best) throw new Error(`no plan at ${cuts} cuts`)
    return best.id
  }
  return ask('clean').catch(async (thrown: unknown) => {
    const { message } = coerceError(thrown)
    return ask('any').catch((other: unknown) => {
      throw new Error(`clean cuts: ${message}; any cuts: ${coerceError(other).message}`, { cause: other })
    })
  })
}

/** A right answer that another machine gave is none: the plan did not serve. */
function checkPlanned(driven: Driven, { outputs, parameters }: InferResponse): Found {
  const stoodIn = Object.keys(parameters).filter((key) => /instead_?of/i.test(key))
  if (stoodIn.length > 0) throw new Error(`another machine stood in: ${stoodIn.join(', ')}`)
  return driven.check(mapOf(outputs))
}
