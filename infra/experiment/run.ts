/** Runs an experiment: deploys, asks in turn, keeps every answer's times, and takes down what it deployed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parsePlanId } from '../../shared/contracts/plan-id.ts'
import type { Experiment, ExperimentRow } from '../../shared/contracts/experiment.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { VERSION } from '../../shared/platform/version.ts'
import type { ResourceView } from '../../shared/contracts/resource.ts'
import type { Context } from '../cli/context.ts'
import type { Services } from '../cli/find-services.ts'
import { versionOf } from '../steps/service-health.ts'
import type { ProgressDisplay } from '../terminal/progress.ts'
import { figure, hopsOf } from './hops.ts'
import { OwnDeployments } from './own-deployments.ts'
import { type Header, Results } from './results.ts'
import { scheduleOf, type Turn } from './request-order.ts'
import { deploySubject, type Live, type Subject, subjectsOf } from './subjects.ts'
import type { SummaryRow } from './summary.ts'

interface RunOptions {
  resume: boolean
  /** Ends the experiment after the request under way; what was measured is kept. */
  signal: AbortSignal
  progress: () => ProgressDisplay
  /** Tells the user what was found of an earlier run. */
  say: (text: string) => void
}

export interface Outcome {
  summary: SummaryRow[]
  complete: boolean
  rows: number
  planned: number
}

/** @throws ScissionError of the first step that fails. What was measured is kept, and what was deployed is taken down. */
export async function runExperiment(
  context: Context,
  experiment: Experiment,
  options: RunOptions,
): Promise<Outcome> {
  const results = await Results.open(experiment, options.resume, options)
  try {
    return await runIn(results, context, experiment, options)
  } finally {
    results.close()
  }
}

async function runIn(
  results: Results,
  context: Context,
  experiment: Experiment,
  options: RunOptions,
): Promise<Outcome> {
  const own = await OwnDeployments.open(context.planner, results)
  const stuck = await own.takeDown(options.say)
  if (stuck) throw stuck
  const subjects = await subjectsOf(context, experiment, {
    ...options,
    earlier: results.earlier?.plans ?? [],
  })
  const display = options.progress()
  const header = await headerOf(context, experiment, subjects, results.earlier)
  await results.describe({ ...header, complete: false })
  const turns = scheduleOf(subjects.length, experiment)
  const open = turns.filter(({ at, repetition }) => {
    const { model, label } = subjects[at] as Subject
    return !results.has(model, label, repetition)
  })
  const live = new Map<number, Live>()
  let failure: { thrown: unknown } | undefined
  try {
    for (const at of new Set(open.map((turn) => turn.at))) {
      const subject = subjects[at] as Subject
      options.signal.throwIfAborted()
      display.update('experiment', { fraction: 0, step: `deploying ${subject.label}` })
      live.set(at, await deploySubject(context, subject, { ...experiment, ...options, own }))
    }
    await measure(context, experiment, { live, open, results, header }, { ...options, display })
  } catch (thrown) {
    // The user knows of the interruption.
    if (thrown !== options.signal.reason) failure = { thrown }
  }
  display.stop()
  const left = await own.takeDown()
  const complete = results.rows.length === turns.length
  if (failure) throw await keptOf(results, experiment, header, failure.thrown, left)
  await results.describe({ ...header, complete })
  const summary = await results.finish(experiment)
  if (left) throw left
  return { summary, complete, rows: results.rows.length, planned: turns.length }
}

/**
 * Writes what was measured before a failure.
 * @param left what is still deployed.
 * @returns the failure, and how to go on; with what failed besides, if the results cannot be written either.
 */
async function keptOf(
  results: Results,
  experiment: Experiment,
  header: Header,
  thrown: unknown,
  left: ScissionError | undefined,
): Promise<ScissionError> {
  const error = coerceError(thrown)
  let kept = `${results.rows.length} requests are kept in ${experiment.output}; --resume goes on`
  try {
    await results.describe({ ...header, complete: false, error: error.message })
    await results.finish(experiment)
  } catch (unwritten) {
    const why = coerceError(unwritten).message
    kept = why === error.message ? '' : `the tables of ${experiment.output} cannot be written: ${why}`
  }
  const { code, details } =
    error instanceof ScissionError ? error : { code: 'internal' as const, details: undefined }
  // One reason may keep several from being done.
  const said = [...new Set([error.message, kept, left?.message ?? ''])]
    .filter((text) => text !== '')
    .join('; ')
  return new ScissionError(code, said, details, error)
}

interface Work {
  live: ReadonlyMap<number, Live>
  open: readonly Turn[]
  results: Results
  header: Header
}

async function measure(
  { planner }: Context,
  { warmUp, pauseMs }: Experiment,
  { live, open, results, header }: Work,
  { signal, display }: Pick<RunOptions, 'signal'> & { display: ProgressDisplay },
): Promise<void> {
  // Within a run, times are those of a clock that nobody sets.
  const begunMs = Date.now() - Date.parse(header.startedAt) - performance.now()
  display.update('experiment', { fraction: 0, step: 'warming up' })
  for (const one of live.values())
    for (let count = 0; count < warmUp && !signal.aborted; count += 1)
      await one.client.infer(one.deployment, one.inputs)
  for (const [done, { at, repetition }] of open.entries()) {
    const one = live.get(at)
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    if (signal.aborted || one === undefined) return
    display.update('experiment', { fraction: done / open.length, step: 'measuring' })
    const predicted = await planner.plan(one.plan)
    const begin = performance.now()
    const startedMs = begunMs + begin
    const { parameters } = await one.client.infer(one.deployment, one.inputs)
    const latencyMs = performance.now() - begin
    const { lowMs, highMs } = predicted.interval
    const cores = predicted.paces.flatMap(({ resource, otherCores }) =>
      otherCores === undefined ? [] : [[resource, otherCores] as const],
    )
    const totalMs = figure(parameters, 'scission_totalMs')
    const row: ExperimentRow = {
      model: one.model,
      query: one.label,
      repetition,
      startedMs,
      latencyMs,
      predictedMs: predicted.predictedMs,
      lowMs,
      highMs,
      inside: latencyMs >= lowMs && latencyMs <= highMs,
      plan: one.plan,
      cuts: parsePlanId(one.plan)
        .stages.slice(1)
        .map(({ from }) => from),
      ...(totalMs !== undefined && { totalMs }),
      hops: hopsOf(parameters, new Map(cores)),
    }
    await results.add(row)
  }
}

/** Of the services, and of each machine that answers. */
async function versionsOf({ benchmark, planner }: Services, machines: readonly ResourceView[]) {
  const alive = machines.filter((machine) => machine.alive)
  const found = await Promise.all(
    alive.map(async ({ name, url }) => [name, await versionOf(name, url)] as const),
  )
  return {
    benchmark: await versionOf('benchmark service', benchmark),
    planner: await versionOf('planner service', planner),
    machines: Object.fromEntries(found),
  }
}

/** What the figures depend on. A resumed experiment keeps its begin, and lists each run. */
async function headerOf(
  { benchmark, planner, services }: Context,
  experiment: Experiment,
  subjects: readonly Subject[],
  earlier: Header | undefined,
): Promise<Header> {
  const now = new Date().toISOString()
  const ids = [...new Set(subjects.map(({ modelId }) => modelId))]
  const models = await Promise.all(ids.map((id) => benchmark.model(id)))
  const [machines, links] = await Promise.all([planner.resources(), planner.links()])
  const priced = await Promise.all(
    [...new Set(subjects.map(({ plan }) => plan))].map((plan) => planner.plan(plan)),
  )
  const run = {
    startedAt: now,
    versions: { scission: VERSION, node: process.version, ...(await versionsOf(services, machines)) },
    machines,
    links,
    paces: priced
      .flatMap(({ paces }) => paces)
      .filter(({ resource }, at, all) => all.findIndex((one) => one.resource === resource) === at),
  }
  const runs = Array.isArray(earlier?.['runs']) ? (earlier['runs'] as unknown[]) : []
  return {
    experiment,
    complete: false,
    startedAt: earlier?.startedAt ?? now,
    seed: experiment.seed,
    models: models.map(({ id, name, version, shapesKey }) => ({ id, name, version, shapesKey })),
    plans: subjects.map(({ model, label, plan }) => ({ model, query: label, plan })),
    emulated: priced.some(({ emulated }) => emulated),
    notes: [...new Set(priced.flatMap(({ notes }) => notes))],
    runs: [...runs, run],
  }
}
