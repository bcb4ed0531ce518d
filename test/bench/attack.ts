/**
 * What one client can do to another: a client asks for a small network, one request after another, alone and beside an attacker
 * who takes what both share, in turns; and, where others share more than the machine, asks for that too. Both show tokens of
 * their own. The attacker is a process of its own with few connections and little to compute himself: the machine is the same,
 * and what he uses of it for himself counts against the service.
 *
 * `ATTACKS=executor,streams` runs some of them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import type { System } from '../../infra/start/system.ts'
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient, type InferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { bearer } from '../../shared/platform/credentials.ts'
import { createLog } from '../../shared/platform/log.ts'
import { counting, looping } from '../inference/executor/tiny-model-examples.ts'
import { type TinyModel, writeModel } from '../inference/tiny-models.ts'
import { nearestRank } from '../support/nearest-rank.ts'
import { freshModel, small, SMALL_ELEMENTS, wide } from './attack-models.ts'
import type { Order } from './attack-worker.ts'
import { ATTACKS, type Place, type Wish } from './attacks.ts'
import { type Benchmark, type Figure, figure, type Result } from './bench.ts'
import { startThisMachine } from './this-machine.ts'

const TURNS = 6
const TURN_MS = 2000
/** An attack is under way before its turn counts. */
const BEGIN_MS = 300
const MOST_RATIO = 3
const NAMES = { small: () => small, wide: () => wide, looping: () => looping, counting: () => counting }

export const attack: Benchmark = { name: 'attack', title: 'One client beside an attacker', run }

interface Client {
  inference: InferenceClient
  benchmark: BenchmarkClient
  planner: PlannerClient
  folder: string
}

async function run(say: (text: string) => void): Promise<Result> {
  const wanted = process.env['ATTACKS']?.split(',') ?? Object.keys(ATTACKS)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const system = await startThisMachine(folder)
  const figures: Figure[] = []
  const raw: Record<string, unknown> = {}
  let attacker: ManagedProcess | undefined
  try {
    const models = wanted.flatMap((name) => Object.entries(ATTACKS[name]?.models ?? {}))
    const client = await clientOf(system, folder, Object.fromEntries(models))
    attacker = await startAttacker(system)
    for (const name of wanted) {
      const one = ATTACKS[name]
      if (!one) continue
      for (const wish of one.wishes) {
        const measured = await beside(attacker, name, wishOf(client, wish))
        const title = `${name} (${one.what}), ${wish}`
        figures.push(...figuresOf(title, measured, one.most ?? MOST_RATIO))
        raw[`${name} ${wish}`] = measured
        say(`${title}: ${figures.at(-2)?.value.toFixed(2)} times, ${measured.wrong} wrong or lost`)
      }
    }
    return { figures, raw }
  } finally {
    await attacker?.stop()
    await system.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function tokenOf(system: System, name: string): Promise<string> {
  const planner = createPlannerClient(system.plannerUrl, undefined, system.credentials)
  return bearer((await planner.addKey({ kind: 'operator', name })).token)
}

async function clientOf(
  system: System,
  folder: string,
  others: Record<string, () => TinyModel>,
): Promise<Client> {
  const token = await tokenOf(system, 'client')
  const credentials = { authorization: () => token }
  const benchmark = createBenchmarkClient(system.benchmarkUrl, undefined, credentials)
  for (const [name, made] of Object.entries({ ...NAMES, ...others })) {
    const file = path.join(folder, `${name}.onnx`)
    writeModel(file, made())
    await benchmark.uploadModel(file, name)
  }
  const planner = createPlannerClient(system.plannerUrl, undefined, credentials)
  const inference = createInferenceClient('device', urlOf(system), undefined, credentials)
  const client = { benchmark, planner, inference, folder }
  // Plans are asked of what was measured.
  await wishOf(client, 'benchmark')()
  return client
}

const urlOf = ({ resources: [device] }: System) => device?.url ?? ''

async function startAttacker(system: System): Promise<ManagedProcess> {
  const { benchmarkUrl, plannerUrl } = system
  const authorization = await tokenOf(system, 'attacker')
  const place: Place = { url: urlOf(system), benchmarkUrl, plannerUrl, authorization }
  const entry = new URL('./attack-worker.ts', import.meta.url)
  const log = createLog('bench', 'error')
  return startProcess({ name: 'attacker', entry, args: [JSON.stringify(place)], log })
}

/** @returns true if the answer was right. */
type Ask = () => Promise<boolean>

function wishOf({ inference, benchmark, planner, folder }: Client, wish: Wish): Ask {
  if (wish === 'plan') return async () => (await planner.plans({ model: 'small' })).plans.length > 0
  if (wish === 'benchmark')
    return async () => {
      const { id } = await benchmark.startBenchmark({ model: 'small', force: true })
      for (;;) {
        const { state } = await benchmark.benchmark(id)
        if (state === 'completed') return true
        if (state === 'failed' || state === 'cancelled') return false
        await sleep(20)
      }
    }
  if (wish === 'upload') {
    const file = path.join(folder, 'fresh.onnx')
    return async () => {
      uploads += 1
      writeFileSync(file, fresh(uploads))
      await benchmark.uploadModel(file, 'fresh')
      await benchmark.deleteModel('fresh')
      return true
    }
  }
  const inputs = makeInputs(
    [{ name: 'x', datatype: 'FP32', shape: [1, SMALL_ELEMENTS], bytes: 4 * SMALL_ELEMENTS }],
    1,
  )
  const given = new Float32Array(Uint8Array.from(inputs[0]?.bytes ?? []).buffer)
  const expected = Buffer.from(given.map((value) => Math.max(0, value)).buffer)
  return async () => {
    const { outputs } = await inference.infer('small', inputs)
    return expected.equals(outputs[0]?.bytes ?? Buffer.alloc(0))
  }
}

const fresh = freshModel()
let uploads = 0

interface Measured {
  /** ms of each. */
  alone: number[]
  beside: number[]
  /** Answers that were wrong, or none. */
  wrong: number
}

async function beside(attacker: ManagedProcess, name: string, ask: Ask): Promise<Measured> {
  const measured: Measured = { alone: [], beside: [], wrong: 0 }
  const askFor = async (ms: number, times: number[], isCounted = true) => {
    const until = performance.now() + ms
    do {
      const startedAt = performance.now()
      if (!(await ask().catch(() => false)) && isCounted) measured.wrong += 1
      times.push(performance.now() - startedAt)
    } while (performance.now() < until)
  }
  await askFor(TURN_MS / 2, [], false)
  for (let turn = 0; turn < TURNS; turn += 1) {
    await askFor(TURN_MS, measured.alone)
    await tell(attacker, { begin: name }, 'begun')
    await askFor(BEGIN_MS, [], false)
    await askFor(TURN_MS, measured.beside)
    await tell(attacker, { end: true }, 'ended')
    await sleep(BEGIN_MS)
  }
  return measured
}

function tell(attacker: ManagedProcess, order: Order, answer: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const forget = attacker.onMessage((message) => {
      if (message !== answer) return
      forget()
      resolve()
    })
    void attacker.exited.then(({ lastLines }) =>
      reject(new Error(`the attacker ended: ${lastLines.join('\n')}`)),
    )
    attacker.send(order)
  })
}

function figuresOf(name: string, { alone, beside: attacked, wrong }: Measured, most: number): Figure[] {
  const p99 = (times: number[]) => nearestRank(times, 0.99)
  const ratio = p99(attacked) / p99(alone)
  const baseline = { name: 'alone, ms', value: p99(alone) }
  return [
    figure(`${name}; 99th percentile to alone`, ratio, 'times', 'lower', most, baseline),
    figure(`${name}; wrong or lost answers`, wrong, `of ${alone.length + attacked.length}`, 'lower', 0),
  ]
}
