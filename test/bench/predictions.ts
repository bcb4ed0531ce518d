/**
 * Do predictions hold? The whole product, as a user meets it: two machines are services of their own, a model is measured,
 * planned and deployed at cuts that no profile has seen, and asked for a while. Each prediction is held against the requests
 * that follow it; on a quiet machine, with cores kept busy, and under quotas of CPU time.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { startSystem, type System } from '../../infra/start/system.ts'
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { pollUntil } from '../../infra/steps/poll-until.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import { createLog } from '../../shared/platform/log.ts'
import type { Benchmark, BenchOptions, Figure, Result } from './bench.ts'
import { CONDITIONS, type Condition, keepBusy, limitProcesses, noQuotas } from './conditions.ts'
import { askFor, type Asked, type Deployed, deployedAt } from './predictions-ask.ts'
import { figuresOf, linesOf, type Measured } from './predictions-score.ts'
import { type BenchModel, prepare, sources } from './profile-models.ts'

/** Networks of 2 to 60 ms, with depthwise, plain and dense convolutions, and one of small matrices. */
const MODELS = 'mobilenetv2,nasnetmobile,densenet121,resnet50,light_squeezenet'
const CUTS = 3
/** Predictions of a model, and the time for which requests follow each. */
const BLOCKS = 4
const BLOCK_MS = 15_000
/** The services have run for a moment, as they have when a user uploads something. */
const SETTLE_MS = 10_000
/** Quick, so that it is the machines that are judged. */
const LINK = { rttMs: 1, upMbps: 1000, downMbps: 1000 }

export const predictions: Benchmark = {
  name: 'profile',
  title: 'Predictions on quiet, busy and throttled machines',
  run,
}

async function run(say: (text: string) => void, options: BenchOptions = {}): Promise<Result> {
  const names = (options.models ?? MODELS).split(',')
  const wanted = options.conditions?.split(',')
  const reason = noQuotas()
  const measured: Measured[] = []
  for (const condition of CONDITIONS) {
    if (wanted && !wanted.includes(condition.name)) continue
    if (condition.quota !== undefined && reason !== undefined) {
      say(`${condition.name}: left out, ${reason}`)
      continue
    }
    measured.push(...(await measureUnder(condition, names, Number(options.cuts ?? CUTS), say)))
  }
  return { figures: figuresOf(measured) satisfies Figure[], raw: measured }
}

async function measureUnder(
  condition: Condition,
  names: readonly string[],
  cuts: number,
  say: (text: string) => void,
): Promise<Measured[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const ends: (() => void)[] = []
  let system: System | undefined
  const measured: Measured[] = []
  try {
    system = await startTwoMachines(folder)
    ends.push(keepBusy(condition.busyCores))
    if (condition.quota !== undefined) {
      const pids = system.resources.flatMap(({ pid }) => pid ?? [])
      ends.push(limitProcesses(pids, condition.quota))
    }
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    for (const source of sources(names)) {
      const model = await prepare(source, path.join(folder, 'models'))
      const one = await measureModel(system, model, condition, cuts)
      measured.push(one)
      say(linesOf(one))
    }
    return measured
  } finally {
    // First the quotas: a service that stands still does not stop.
    for (const end of ends.reverse()) end()
    await system?.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function startTwoMachines(folder: string): Promise<System> {
  const testbed = path.join(folder, 'testbed.json')
  const resources = ['device', 'edge'].map((name) => ({ name, tier: name, slowdown: 1 }))
  const links = [{ from: 'device', to: 'edge', ...LINK }]
  writeFileSync(testbed, JSON.stringify({ tiers: ['device', 'edge'], resources, links }))
  const log = createLog('bench', 'error')
  return startSystem({ testbed, network: undefined, portBase: 0, dataDir: path.join(folder, 'data'), log })
}

async function measureModel(
  system: System,
  model: BenchModel,
  condition: Condition,
  cuts: number,
): Promise<Measured> {
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const planner = createPlannerClient(system.plannerUrl)
  const { id } = await benchmark.uploadModel(model.file, model.name)
  const query = { model: id, inputShapes: model.structure.inputShapes }
  const { id: job } = await benchmark.startBenchmark({ ...query, force: true })
  const done = await pollUntil(
    () => benchmark.benchmark(job),
    ({ state }) => state !== 'waiting' && state !== 'active',
    { everyMs: 250 },
  )
  if (done.state !== 'completed') throw new Error(`${model.name}: benchmark ${done.state}`)
  const profiles = await Promise.all(
    done.parts.flatMap((part) => (part.profile ? [benchmark.profile(part.profile)] : [])),
  )
  const plansNow = () => planner.plans({ ...query, top: 1000, maxStages: 2, source: 'device' })
  const answer = await plansNow()
  const chosen = choosePlans([...answer.native, ...answer.plans], model, profiles, cuts)
  const deployed: Deployed[] = []
  for (const plan of chosen) {
    const deployment = await deployAndWait(planner, { plan: plan.id, verify: false })
    deployed.push(deployedAt(deployment, plan, model.structure))
  }
  const blocks: Measured['blocks'] = []
  for (let block = 0; block < BLOCKS; block++) {
    const { plans, native } = await plansNow()
    const predicted = new Map([...plans, ...native].map((plan) => [plan.id, plan]))
    const asked = await askFor(deployed, BLOCK_MS)
    const cases = deployed.flatMap(({ plan, k }) => {
      const now = predicted.get(plan.id)
      const requests: Asked[] = asked.get(plan.id) ?? []
      return now ? [{ k, plan: figuresIn(now), requests }] : []
    })
    blocks.push({ cases })
  }
  for (const { name } of deployed) await planner.undeploy(name)
  const { layers } = model.structure
  return { condition: condition.name, model: model.name, layers: layers.length, profiles, blocks }
}

const figuresIn = ({ predictedMs, interval, typicalInterval }: Plan) => ({
  predictedMs,
  interval,
  typicalInterval,
})

/** The whole model on the first machine, and cuts spread over its time that no profile was fitted or checked with. */
function choosePlans(
  plans: readonly Plan[],
  { structure }: BenchModel,
  profiles: readonly Profile[],
  count: number,
): Plan[] {
  const seen = new Set(
    profiles.flatMap(({ anchors = [], predictionError }) =>
      [...anchors, ...(predictionError?.cuts ?? [])].map(({ k }) => k),
    ),
  )
  const whole = plans.find(({ stages }) => stages.length === 1 && stages[0]?.resource === 'device')
  const split = plans
    .filter(({ stages: [first, second] }) => first && second && !seen.has(first.to))
    .sort((a, b) => (a.stages[0]?.to ?? 0) - (b.stages[0]?.to ?? 0))
  const spread = Array.from(
    { length: Math.min(count, split.length) },
    (_, at) => split[Math.floor(((at + 0.5) * split.length) / count)],
  )
  if (!whole || structure.layers.length === 0) throw new Error('the whole model is in no plan')
  return [whole, ...spread.flatMap((plan) => plan ?? [])]
}
