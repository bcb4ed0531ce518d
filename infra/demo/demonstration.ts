/**
 * The product's main path as a client would go it: upload → benchmark → links → plans → deploy → infer → compare. It uses
 * only the services' public APIs. The reference for the comparison is the given file, run unsplit by ONNX Runtime in a
 * process of its own.
 */
import type { Credentials } from '../../shared/platform/credentials.ts'
import type { BenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import type { PlannerClient } from '../../shared/client/planner.ts'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { rememberedShapesNote } from '../../shared/contracts/input-shapes.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { Plan, PlanAnswer } from '../../shared/contracts/plan.ts'
import type { Link, ResourceView } from '../../shared/contracts/resource.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { modelInputs } from '../../shared/onnx/sample-inputs/model-inputs.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { baselinesText, describePlan } from '../cli/plan-tables.ts'
import { linksTable } from '../cli/link-table.ts'
import { profilesTable } from '../cli/tables.ts'
import { runBenchmark } from '../steps/run-benchmark.ts'
import { deployAndWait } from '../steps/deploy-plan.ts'
import { pollUntil } from '../steps/poll-until.ts'
import { median } from '../../shared/platform/statistics.ts'
import { printable } from '../terminal/printable.ts'
import { createProgress } from '../terminal/progress.ts'
import { say } from '../terminal/say.ts'
import { tableText } from '../terminal/table.ts'
import type { SetDetail } from '../terminal/waiting.ts'
import { uploadFiles } from '../steps/upload-model.ts'
import { compareOutputs } from './compare.ts'
import { referenceRun } from './reference.ts'
import type { Report, ServedPlan } from './report.ts'
import { modelText, servedText, steadinessText, step, titledPlansText, winnerText } from './story.ts'

interface Query {
  model: string
  inputShapes?: InputShapes | undefined
}

export interface DemonstrationInput {
  file: string
  name: string
  inputShapes: InputShapes | undefined
  /** Files with values for the model's inputs. @defaultValue they are made up */
  samples?: readonly string[] | undefined
  benchmark: BenchmarkClient
  planner: PlannerClient
  /** Shown to the inference services. */
  credentials?: Credentials
  redis: Report['redis']
}

/** Requests that warm up a deployment, and requests that are measured: at least `min`, then up to `max` in `forMs` ms. */
const WARM_UP = { min: 1, max: 3, forMs: 2000 }
const MEASURED = { min: 3, max: 10, forMs: 5000 }
const INPUT_SEED = 1
/** Samples of each machine's pace that plans should rest on, and how long they are waited for. */
const WATCHED_SAMPLES = 10
const WATCHED_WAIT = { everyMs: 250, timeoutMs: 10_000 }
/** Measuring one slow link takes seconds, and a resource measures its links one after another. */
const LINKS_WAIT = { everyMs: 100, timeoutMs: 180_000 }

export async function demonstrate(input: DemonstrationInput): Promise<Report> {
  const { file, name, inputShapes, samples, benchmark, planner } = input
  const model = await step('uploading the model', () =>
    uploadFiles(benchmark, file, { name, inputShapes, samples }),
  )
  const structure = await benchmark.structure(model.id, inputShapes)
  say(modelText(printable(model), printable(structure)))
  const note = inputShapes ? undefined : rememberedShapesNote(model.inputs, structure.inputShapes)
  if (note !== undefined) say(`  ${printable(note)}; --shapes gives others`)

  const links = await step('measuring the links between the resources', (waitFor) =>
    linksMeasured(planner, waitFor),
  )
  say(tableText(linksTable(printable(links))))
  say('measuring the model layer by layer on every resource')
  const query = { model: model.id, inputShapes }
  const done = await runBenchmark(benchmark, query, createProgress())
  const profiles = await Promise.all(
    done.parts.flatMap((part) => (part.profile ? [benchmark.profile(part.profile)] : [])),
  )
  say(tableText(profilesTable(printable(profiles))))

  const plans = await step('watching how fast the machines are now', (waitFor) =>
    plansOfWatched(
      planner,
      query,
      profiles.map(({ resource }) => resource),
      waitFor,
    ),
  )
  say(titledPlansText('free choice', printable(plans)))
  const split = await planSplit(planner, structure, query)
  if (split) say(titledPlansText(split.title, printable(split.answer)))
  else say('the model has no layer boundary that may be cut: only whole-model plans are possible')
  say(`\n${baselinesText(printable(plans))}`)

  say(steadinessText(printable(plans.paces)))

  const inputs = modelInputs(structure, await benchmark.samples(model), INPUT_SEED)
  const reference = await step('running the unsplit file for reference', () => referenceRun(file, inputs))
  const served: ServedPlan[] = []
  for (const plan of plansToServe(plans, split?.answer, await planner.resources())) {
    served.push(
      await step(`serving ${describePlan(plan)}`, async (waitFor) =>
        serve(planner, await asOfNow(planner, query, plan), {
          inputs,
          expected: reference.outputs,
          waitFor,
          credentials: input.credentials,
        }),
      ),
    )
  }
  say(servedText(printable(served)))
  say(winnerText(printable(served)))
  return reportOf({
    model,
    inputBytes: structure.inputs.reduce((sum, spec) => sum + spec.bytes, 0),
    redis: input.redis,
    profiles,
    links,
    plans,
    split: split?.answer ?? null,
    raw: { served, referenceRunMs: reference.runMs },
  })
}

/**
 * Plans of machines whose pace is known by more than one look. That one stays unknown is no reason to wait for ever: the plans
 * say what they rest on.
 * @param machines that have a profile.
 */
async function plansOfWatched(
  planner: PlannerClient,
  query: Query,
  machines: readonly string[],
  waitFor: SetDetail,
): Promise<PlanAnswer> {
  const ask = async () => {
    const answer = await planner.plans(query)
    const samples = new Map(answer.paces.map((pace) => [pace.resource, pace.samples]))
    const unknown = machines.filter((name) => (samples.get(name) ?? 0) < WATCHED_SAMPLES)
    waitFor(unknown.map((name) => `${name}: ${samples.get(name) ?? 0} of ${WATCHED_SAMPLES}`).join(', '))
    return { answer, unknown }
  }
  const { answer } = await pollUntil(ask, ({ unknown }) => unknown.length === 0, WATCHED_WAIT)
  return answer
}

/** What a split is compared with, the source alone and the last machine alone; then the best plan and the best split. */
function plansToServe(
  free: PlanAnswer,
  split: PlanAnswer | undefined,
  resources: readonly ResourceView[],
): Plan[] {
  const last = resources.toSorted((a, b) => b.tierIndex - a.tierIndex)[0]?.name
  const source = free.plans[0]?.source
  const onSource = free.native.find(({ stages }) => stages[0]?.resource === source)
  const elsewhere = free.native.filter((plan) => plan !== onSource)
  const farthest = elsewhere.find(({ stages }) => stages[0]?.resource === last)
  const wanted = [onSource, farthest, free.plans[0], split?.plans[0]]
  const byId = new Map(wanted.flatMap((plan) => (plan ? [[plan.id, plan] as const] : [])))
  return [...byId.values()]
}

/** The plan as it is predicted at this moment: the pace of a busy machine changes from minute to minute. */
async function asOfNow(planner: PlannerClient, query: Query, plan: Plan): Promise<Plan> {
  const { plans, native } = await planner.plans({ ...query, top: 1000 })
  return [...native, ...plans].find(({ id }) => id === plan.id) ?? plan
}

/** Waits until the links of all pairs of resources that a plan could use are measured. */
async function linksMeasured(planner: PlannerClient, waitFor: SetDetail): Promise<Link[]> {
  const ask = async () => {
    const [resources, links] = await Promise.all([planner.resources(), planner.links()])
    const missing = missingLinks(resources, links)
    waitFor(missing.join(', '))
    return { links, missing }
  }
  const { links, missing } = await pollUntil(ask, (answer) => answer.missing.length === 0, LINKS_WAIT)
  if (missing.length === 0) return links
  throw new ScissionError(
    'notMeasured',
    `not measured within ${LINKS_WAIT.timeoutMs} ms: ${missing.join(', ')}`,
  )
}

/** The links to resources of later tiers that were not measured since the resource started. */
function missingLinks(resources: readonly ResourceView[], links: readonly Link[]): string[] {
  const alive = resources.filter((resource) => resource.alive)
  const isMeasured = (from: ResourceView, to: ResourceView) =>
    links.some(
      (link) =>
        link.from === from.name &&
        link.to === to.name &&
        // An override stays, whatever is measured.
        (link.source === 'override' || link.measuredAt >= from.startedAt),
    )
  return alive.flatMap((from) =>
    alive
      .filter((to) => to.tierIndex > from.tierIndex && !isMeasured(from, to))
      .map((to) => `${from.name} → ${to.name}`),
  )
}

/** Asks for the best plan that keeps all layers up to the first usable cut on the device and uses at least two machines. */
async function planSplit(
  planner: PlannerClient,
  structure: Structure,
  query: Query,
): Promise<{ title: string; answer: PlanAnswer } | null> {
  const inner = structure.boundaries.filter(
    (boundary) => boundary.allowed && boundary.k > 0 && boundary.k < structure.layers.length,
  )
  const first =
    inner.find((boundary) => boundary.clean && boundary.single) ??
    inner.find((boundary) => boundary.clean) ??
    inner[0]
  if (!first) return null
  const cuts = first.clean ? 'clean' : 'any'
  const answer = await planner.plans({ ...query, firstLayersOnDevice: first.k, minStages: 2, cuts })
  return { title: `first block (layers [0,${first.k})) kept on the device, at least two machines`, answer }
}

interface Serving {
  inputs: readonly Tensor[]
  /** Outputs of the unsplit model. */
  expected: readonly Tensor[]
  waitFor: SetDetail
  credentials: Credentials | undefined
}

async function serve(
  planner: PlannerClient,
  plan: Plan,
  { inputs, expected, waitFor, credentials }: Serving,
): Promise<ServedPlan> {
  const deployment = await deployAndWait(
    planner,
    { plan: plan.id },
    { update: (_, { step: at }) => waitFor(at), stop: () => undefined },
  )
  waitFor('sending requests')
  const client = createInferenceClient(
    deployment.entry.resource,
    deployment.entry.url,
    undefined,
    credentials,
  )
  const infer = () => client.infer(deployment.id, inputs)
  await timesOf(infer, WARM_UP)
  const samplesMs = await timesOf(infer, MEASURED)
  const answer = await client.infer(deployment.id, inputs)
  const measuredMs = median(samplesMs)
  const { interval } = plan
  return {
    deployment: deployment.id,
    verification: deployment.verification,
    endpoint: `${deployment.entry.url}/v2/models/${deployment.id}/infer`,
    plan,
    predictedMs: plan.predictedMs,
    inside: samplesMs.filter((ms) => isInside(ms, interval)).length,
    held: isInside(measuredMs, interval),
    measuredMs,
    samplesMs,
    ...compareOutputs(expected, answer.outputs),
    parameters: answer.parameters,
  }
}

const isInside = (ms: number, { lowMs, highMs }: Plan['interval']) => ms >= lowMs && ms <= highMs

/** Times requests: at least `min`, then up to `max` as long as `forMs` ms have not passed. @returns ms of each. */
async function timesOf(
  request: () => Promise<unknown>,
  { min, max, forMs }: { min: number; max: number; forMs: number },
): Promise<number[]> {
  const timesMs: number[] = []
  const until = performance.now() + forMs
  while (timesMs.length < min || (timesMs.length < max && performance.now() < until)) {
    const start = performance.now()
    await request()
    timesMs.push(performance.now() - start)
  }
  return timesMs
}

type Findings = Pick<
  Report,
  'model' | 'inputBytes' | 'redis' | 'profiles' | 'links' | 'plans' | 'split' | 'raw'
>

/** Adds the figures that follow from the findings. @throws ScissionError internal if no plan was served. */
function reportOf(found: Findings): Report {
  const { plans, split, raw } = found
  const last = raw.served.at(-1)
  if (!last) throw new ScissionError('internal', 'no plan was served')
  const { id, name, bytes, layers, cuts, inputs, outputs } = found.model
  return {
    ok: raw.served.every((served) => served.agree),
    ...found,
    predictions: { held: raw.served.filter(({ held }) => held).length, of: raw.served.length },
    model: { id, name, bytes, layers, cuts, inputs, outputs },
    native: plans.native,
    predictedMs: last.predictedMs,
    measuredMs: last.measuredMs,
    maxAbsDiff: Math.max(...raw.served.map((served) => served.maxAbsDiff)),
    maxAbsOutput: last.maxAbsOutput,
    emulated: plans.emulated || found.links.some((link) => link.emulated),
    notes: [...new Set([...plans.notes, ...(split?.notes ?? [])])],
  }
}
