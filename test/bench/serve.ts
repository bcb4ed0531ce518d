/**
 * The cost of serving beyond computing: a request against the bare `session.run`, throughput against bare runs, a hop,
 * three stages against one model, and how long a lost edge is felt. All on one machine, links unlimited.
 */
import { median } from '../../shared/platform/statistics.ts'
import { nearestRank } from '../support/nearest-rank.ts'
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import { createSession } from '../../services/inference/serving/executor/ort-session.ts'
import { createLog } from '../../shared/platform/log.ts'
import { toOrt } from '../../shared/onnx/runtime/ort-tensor.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { type Benchmark, figure, type Result } from './bench.ts'
import { HOP_TENSOR_BYTES, writeHopModel } from './hop-model.ts'
import { recovery } from './serve-recovery.ts'
import { secure } from './serve-secure.ts'
import { cutAt, type ServeModel, type ServeSystem, startServeSystem, TIERS } from './serve-setup.ts'
import type { SavedTensor, Task, Work } from './serve-worker.ts'

export const serve: Benchmark = { name: 'serve', title: 'The tensor path: what serving costs', run }

type Part = (system: ServeSystem) => Promise<Result>

/** `SERVE_PARTS=overhead,hop` runs some of them. */
const PARTS: Record<string, Part> = { hop, secure, throughput, overhead, stages, recovery }

async function run(say: (text: string) => void): Promise<Result> {
  const wanted = process.env['SERVE_PARTS']?.split(',') ?? Object.keys(PARTS)
  const system = await startServeSystem()
  const results: [string, Result][] = []
  try {
    for (const name of wanted) {
      say(name)
      const part = PARTS[name]
      if (part) results.push([name, await part(system)])
    }
  } finally {
    await system.close()
  }
  return {
    figures: results.flatMap(([, result]) => result.figures),
    raw: Object.fromEntries(results.map(([name, { raw }]) => [name, raw])),
  }
}

const OVERHEAD_ROUNDS = 80
const OVERHEAD_FLOOR_MS = 1

/**
 * One request at a time, by turns with the bare run in this process: both have paused for the other's turn. So has the
 * bare HTTP server that is sent the same bytes: after a run nothing of what a request needs is left in the caches.
 */
async function overhead(serving: ServeSystem): Promise<Result> {
  await warmUp(serving, ['device'])
  const plain = await startPlain(serving)
  for (let round = 0; round < WARM_UP; round += 1) await plain.ask([new Uint8Array(1)])
  const model = await serving.upload('resnet50', (file) => buildZooModel('resnet50', file))
  const session = await createSession(model.file, { threads: 1, optimisation: 'all' })
  const feeds = Object.fromEntries(model.inputs.map((input) => [input.name, toOrt(input)]))
  const bareMs: number[] = []
  const servedMs: number[] = []
  const computeMs: number[] = []
  const plainMs: number[] = []
  for (let round = -3; round < OVERHEAD_ROUNDS; round += 1) {
    const start = performance.now()
    await session.run(feeds)
    const middle = performance.now()
    const { parameters } = await serving.infer('device', model.id, model.inputs)
    const end = performance.now()
    await session.run(feeds)
    const plainTookMs = await plain.ask(model.inputs.map(({ bytes }) => bytes))
    if (round < 0) continue
    bareMs.push(middle - start)
    servedMs.push(end - middle)
    computeMs.push(Number(parameters['scission_hop0_computeMs']))
    plainMs.push(plainTookMs)
  }
  await Promise.all([session.release(), plain.stop()])
  const around = servedMs.map((ms, index) => ms - (computeMs[index] ?? 0))
  const gaps = servedMs.map((ms, index) => ms - (bareMs[index] ?? 0))
  const baseline = { name: 'bare session.run', value: median(bareMs) }
  const bytes = { name: 'the same bytes to a bare node:http server', value: median(plainMs) }
  return {
    figures: [
      figure('ResNet50, request beyond the bare run', median(gaps), 'ms', 'lower', OVERHEAD_FLOOR_MS, bytes),
      figure('ResNet50, request', median(servedMs), 'ms', 'lower', null, baseline),
      figure('ResNet50, request beyond its own session.run', median(around), 'ms', 'lower', null),
    ],
    raw: { bareMs, servedMs, computeMs, plainMs },
  }
}

/** Short and many: the speed of a shared machine changes by a third within seconds, so neighbours are compared. */
const THROUGHPUT_ROUNDS = 30
const THROUGHPUT_MS = 400
const CLIENTS = 4
const THROUGHPUT_FLOOR = 0.95

/** Requests until V8 has compiled what one runs through: a service that has just started is another matter. */
const WARM_UP = 2000

/** Takes each service through its whole path, with a model that costs next to nothing. */
async function warmUp(serving: ServeSystem, resources: readonly string[]): Promise<void> {
  const model = await serving.upload('hop', writeHopModel)
  for (const resource of resources)
    for (let round = 0; round < WARM_UP; round += 1) await serving.infer(resource, model.id, model.inputs)
}

/**
 * Four clients in another process against a process that does nothing but run the model on one thread, by turns. The
 * second core, idle during the bare runs, carries client and HTTP meanwhile; that is not made up for.
 */
async function throughput(serving: ServeSystem): Promise<Result> {
  const model = await serving.upload('mobilenetv2', (file) => buildZooModel('mobilenetv2', file))
  await serving.infer('device', model.id, model.inputs)
  const input = save(serving, model)
  const url = `${serving.urlOf('device')}/v2/models/${model.id}/infer`
  const [bare, clients] = await Promise.all([
    startWorker({ kind: 'bare', file: model.file, input }),
    startWorker({ kind: 'clients', url, input, clients: CLIENTS }),
  ])
  const rounds: { bare: Work; served: Work }[] = []
  try {
    await go(clients, 3000)
    for (let round = 0; round < THROUGHPUT_ROUNDS; round += 1) {
      rounds.push({ bare: await go(bare, THROUGHPUT_MS), served: await go(clients, THROUGHPUT_MS) })
    }
  } finally {
    await Promise.all([bare.stop(), clients.stop()])
  }
  const rate = ({ done, tookMs }: Work) => (done / tookMs) * 1000
  const bareRate = median(rounds.map((round) => rate(round.bare)))
  const servedRate = median(rounds.map((round) => rate(round.served)))
  const baseline = { name: 'bare runs', value: bareRate }
  return {
    figures: [
      figure(
        'MobileNetV2, 4 clients: share of the bare rate',
        median(rounds.map((round) => rate(round.served) / rate(round.bare))),
        '',
        'higher',
        THROUGHPUT_FLOOR,
      ),
      figure('MobileNetV2, 4 clients', servedRate, '1/s', 'higher', null, baseline),
    ],
    raw: rounds,
  }
}

const HOP_ROUNDS = 400
const HOP_FLOOR_MS = 1.2

/** From handing the tensor to the next hop until its answer is here, without what was computed there. */
async function hop(serving: ServeSystem): Promise<Result> {
  const model = await serving.upload('hop', writeHopModel)
  await serving.deploy('one-hop', model, [
    ['device', 0, 1],
    ['edge', 1, model.structure.layers.length],
  ])
  const plain = await startPlain(serving)
  const overheadMs: number[] = []
  const plainMs: number[] = []
  const tensor = new Uint8Array(HOP_TENSOR_BYTES)
  for (let round = -WARM_UP; round < HOP_ROUNDS; round += 1) {
    const { parameters } = await serving.infer('device', 'one-hop', model.inputs)
    const next = Number(parameters['scission_hop0_nextMs'])
    const plainTookMs = await plain.ask([tensor])
    if (round < 0) continue
    plainMs.push(plainTookMs)
    overheadMs.push(next - Number(parameters['scission_hop1_computeMs']))
  }
  await plain.stop()
  const baseline = { name: 'the same bytes to a bare node:http server', value: median(plainMs) }
  const name = `one hop with ${HOP_TENSOR_BYTES / 1e6} MB, beyond computing`
  return {
    figures: [
      figure(`${name}, median`, median(overheadMs), 'ms', 'lower', HOP_FLOOR_MS, baseline),
      figure(`${name}, 95th percentile`, nearestRank(overheadMs, 0.95), 'ms', 'lower', null),
    ],
    raw: { overheadMs, plainMs },
  }
}

/** The cost of any request to another process in Node: see plain-server.ts. */
async function startPlain({ caller }: ServeSystem) {
  const server = await startProcess({
    name: 'plain',
    entry: new URL('./plain-server.ts', import.meta.url),
    log: createLog('bench', 'error'),
  })
  const request = { method: 'POST' as const, url: server.url, headers: {}, timeoutMs: 10_000, maxBytes: 1000 }
  return {
    /** @returns milliseconds from sending the body to its answer. */
    async ask(body: readonly Uint8Array[]): Promise<number> {
      const start = performance.now()
      await caller.send({ ...request, body })
      return performance.now() - start
    },
    stop: () => server.stop(),
  }
}

/** By turns, because the speed of a shared machine changes within seconds: one request at a time, then many. */
const STAGE_TURNS = 5
const STAGE_ROUNDS = 12
const PIPELINE_MS = 4000
const PIPELINE_CLIENTS = 6
const SEQUENTIAL_FLOOR = 1.1
const PIPELINED_FLOOR = 0.95
/**
 * With two cores, three equal stages could not run at once: the first has most of the work, so much that computing takes
 * three quarters of both cores and leaves the rest to the client and to what three services do besides.
 */
const SHARES = [2 / 3, 5 / 6]

async function stages(serving: ServeSystem): Promise<Result> {
  await warmUp(serving, TIERS)
  const model = await serving.upload('resnet50', (file) => buildZooModel('resnet50', file))
  const [a, b] = SHARES.map((share) => cutAt(model.structure, share))
  if (a === undefined || b === undefined) throw new Error('no cuts')
  const count = model.structure.layers.length
  await serving.deploy('three', model, [
    ['device', 0, a],
    ['edge', a, b],
    ['cloud', b, count],
  ])
  const clients = await startClients(serving, model)
  const alone: Alone[] = []
  const pipelined: Work[] = []
  try {
    await askInTurn(serving, model, 3)
    await go(clients, 1000)
    alone.push(await askInTurn(serving, model, STAGE_ROUNDS))
    for (let turn = 0; turn < STAGE_TURNS; turn += 1) {
      pipelined.push(await go(clients, PIPELINE_MS))
      alone.push(await askInTurn(serving, model, STAGE_ROUNDS))
    }
  } finally {
    await clients.stop()
  }
  return { figures: stageFigures(alone, pipelined), raw: { cuts: [a, b], alone, pipelined } }
}

/** Requests one at a time, the whole model and the three stages by turns. */
interface Alone {
  wholeMs: number[]
  splitMs: number[]
  stageMs: number[][]
}

async function askInTurn(serving: ServeSystem, model: ServeModel, rounds: number): Promise<Alone> {
  const taken: Alone = { wholeMs: [], splitMs: [], stageMs: [[], [], []] }
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now()
    await serving.infer('device', model.id, model.inputs)
    const middle = performance.now()
    const { parameters } = await serving.infer('device', 'three', model.inputs)
    taken.splitMs.push(performance.now() - middle)
    taken.wholeMs.push(middle - start)
    for (const [index, samples] of taken.stageMs.entries())
      samples.push(Number(parameters[`scission_hop${index}_computeMs`]))
  }
  return taken
}

function stageFigures(alone: readonly Alone[], pipelined: readonly Work[]) {
  const wholeMs = alone.flatMap((taken) => taken.wholeMs)
  const splitMs = alone.flatMap((taken) => taken.splitMs)
  const rates = pipelined.map(({ done, tookMs }) => (done / tookMs) * 1000)
  // The times of the stages alone are those from just before and just after.
  const near = pipelined.map((_, turn) =>
    [0, 1, 2].map((stage) =>
      median(alone.slice(turn, turn + 2).flatMap(({ stageMs }) => stageMs[stage] ?? [])),
    ),
  )
  const slowestMs = near.map((stages) => Math.max(...stages))
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const cores = os.availableParallelism()
  // Computing alone already takes so much of all cores; client and HTTP get none of it.
  const ceiling = {
    name: `most that ${cores} cores can compute`,
    value: Math.min(1, median(near.map((stages) => (cores * Math.max(...stages)) / sum(stages)))),
  }
  const slowest = { name: 'slowest stage alone', value: median(slowestMs.map((ms) => 1000 / ms)) }
  const unsplit = { name: 'unsplit', value: median(wholeMs) }
  return [
    figure(
      'ResNet50 in three stages, one request at a time',
      median(splitMs.map((ms, index) => ms / (wholeMs[index] ?? Number.NaN))),
      'x',
      'lower',
      SEQUENTIAL_FLOOR,
    ),
    figure('ResNet50 in three stages, latency', median(splitMs), 'ms', 'lower', null, unsplit),
    figure(
      'the same pipelined: share of the slowest stage’s rate',
      median(rates.map((rate, turn) => (rate * (slowestMs[turn] ?? Number.NaN)) / 1000)),
      '',
      'higher',
      PIPELINED_FLOOR,
      ceiling,
    ),
    figure('the same pipelined', median(rates), '1/s', 'higher', null, slowest),
    // The part that no server can avoid: two cores share caches and memory.
    figure(
      'the slowest stage computes beside the others, longer than alone by',
      median(
        pipelined.map(({ computeMs }, turn) => Math.max(...computeMs) / (slowestMs[turn] ?? Number.NaN)),
      ),
      'x',
      'lower',
      null,
    ),
  ]
}

function startClients(serving: ServeSystem, model: ServeModel): Promise<ManagedProcess> {
  return startWorker({
    kind: 'clients',
    url: `${serving.urlOf('device')}/v2/models/three/infer`,
    input: save(serving, model),
    clients: PIPELINE_CLIENTS,
  })
}

function save({ folder }: ServeSystem, { id, inputs }: ServeModel): SavedTensor {
  const [input] = inputs
  if (!input) throw new Error('a model without inputs')
  const file = path.join(folder, `${id}.input`)
  writeFileSync(file, input.bytes)
  return { name: input.name, datatype: input.datatype, shape: input.shape, path: file }
}

function startWorker(task: Task): Promise<ManagedProcess> {
  return startProcess({
    name: task.kind,
    entry: new URL('./serve-worker.ts', import.meta.url),
    args: [JSON.stringify(task)],
    log: createLog('bench', 'error'),
  })
}

function go(worker: ManagedProcess, ms: number): Promise<Work> {
  return new Promise((resolve, reject) => {
    const forget = worker.onMessage((result) => {
      forget()
      resolve(result as Work)
    })
    void worker.exited.then(({ lastLines }) => reject(new Error(`it ended: ${lastLines.join('\n')}`)))
    worker.send({ ms })
  })
}
