/**
 * What one client can do to another: a client asks for a small network, one request after another, alone and beside an attacker
 * who takes what both share, in turns. The attacker has few connections and little to compute himself: the machine is the
 * same, and what he uses of it for himself would count against the service.
 *
 * `ATTACKS=executor,streams` runs some of them.
 */
import { setMaxListeners } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient, type InferenceClient } from '../../shared/client/inference.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import type { System } from '../../infra/start/system.ts'
import { counting, ENDLESS, looping, turns, upTo } from '../inference/executor/tiny-model-examples.ts'
import { writeModel } from '../inference/tiny-models.ts'
import { encode, model, node, value } from '../onnx/support/build.ts'
import { nearestRank } from '../support/nearest-rank.ts'
import { type Benchmark, type Figure, figure, type Result } from './bench.ts'
import { startThisMachine } from './this-machine.ts'

const TURNS = 6
const TURN_MS = 2000
/** An attack is under way before its turn counts. */
const BEGIN_MS = 300
const MOST_RATIO = 3

export const attack: Benchmark = { name: 'attack', title: 'One client beside an attacker', run }

interface Place {
  system: System
  url: string
  folder: string
  client: InferenceClient
}

/** Goes on until it is told to stop; what it is answered does not matter to it. */
type Attack = (place: Place, stop: AbortSignal) => Promise<void>

const ATTACKS: Record<string, { what: string; run: Attack }> = {
  executor: { what: 'runs without end, 100 ms each', run: inferring('looping', () => turns(ENDLESS), 2) },
  memory: { what: 'outputs of 800 MB', run: inferring('counting', () => upTo(100_000_000n), 2) },
  analysis: { what: 'uploads that analyse for ever', run: uploading(4) },
  disk: { what: 'uploads of 16 MB of weights', run: filling(2) },
  benchmarks: {
    what: 'benchmarks of one model, again and again',
    run: asking('benchmark', '/v1/benchmarks', 4),
  },
  plans: { what: 'plan queries', run: asking('planner', '/v1/plans', 4) },
  redis: { what: 'lists that read Redis', run: listing(4) },
  streams: { what: '200 streams of events', run: streaming(200) },
  slow: { what: '200 bodies that trickle', run: trickling(200) },
}

async function run(say: (text: string) => void): Promise<Result> {
  const wanted = process.env['ATTACKS']?.split(',') ?? Object.keys(ATTACKS)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const system = await startThisMachine(folder)
  try {
    const url = system.resources[0]?.url ?? ''
    const place = { system, url, folder, client: createInferenceClient('device', url) }
    await upload(place)
    const figures: Figure[] = []
    const raw: Record<string, unknown> = {}
    for (const name of wanted) {
      const one = ATTACKS[name]
      if (!one) continue
      const measured = await beside(place, one.run)
      figures.push(...figuresOf(`${name}: ${one.what}`, measured))
      raw[name] = measured
      say(`${name}: ${figures.at(-2)?.value.toFixed(2)} times, ${measured.wrong} wrong or lost`)
    }
    return { figures, raw }
  } finally {
    await system.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const small = () =>
  encode(
    model({
      inputs: [value('x', [1, 1024])],
      outputs: [value('y', [1, 1024])],
      nodes: [node('Relu', ['x'], ['y'])],
    }),
  )

async function upload({ system, folder }: Place): Promise<void> {
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const file = (name: string) => path.join(folder, `${name}.onnx`)
  writeFileSync(file('small'), small())
  writeModel(file('looping'), looping)
  writeModel(file('counting'), counting)
  for (const name of ['small', 'looping', 'counting']) await benchmark.uploadModel(file(name), name)
}

interface Measured {
  alone: number[]
  beside: number[]
  /** Answers that were wrong, or none, beside the attack. */
  wrong: number
}

async function beside(place: Place, run: Attack): Promise<Measured> {
  const measured: Measured = { alone: [], beside: [], wrong: 0 }
  const inputs = makeInputs([{ name: 'x', datatype: 'FP32', shape: [1, 1024], bytes: 4096 }], 1)
  const expected = Buffer.from((await place.client.infer('small', inputs)).outputs[0]?.bytes ?? [])
  const ask = async (times: number[]) => {
    const startedAt = performance.now()
    const isRight = await place.client.infer('small', inputs).then(
      ({ outputs }) => expected.equals(outputs[0]?.bytes ?? Buffer.alloc(0)),
      () => false,
    )
    times.push(performance.now() - startedAt)
    if (!isRight) measured.wrong += 1
  }
  const askFor = async (ms: number, times: number[]) => {
    const until = performance.now() + ms
    while (performance.now() < until) await ask(times)
  }
  await askFor(TURN_MS / 2, [])
  for (let turn = 0; turn < TURNS; turn += 1) {
    await askFor(TURN_MS, measured.alone)
    const stop = new AbortController()
    // Each request of the attacker listens to it until it is collected.
    setMaxListeners(0, stop.signal)
    const attacking = run(place, stop.signal)
    await askFor(BEGIN_MS, [])
    await askFor(TURN_MS, measured.beside)
    stop.abort()
    await attacking
    await sleep(BEGIN_MS)
  }
  return measured
}

function figuresOf(name: string, { alone, beside: attacked, wrong }: Measured): Figure[] {
  const p99 = (times: number[]) => nearestRank(times, 0.99)
  const baseline = { name: 'alone, ms', value: p99(alone) }
  return [
    figure(
      `${name}; 99th percentile to alone`,
      p99(attacked) / p99(alone),
      'times',
      'lower',
      MOST_RATIO,
      baseline,
    ),
    figure(`${name}; wrong or lost answers`, wrong, 'of ' + String(attacked.length), 'lower', 0),
  ]
}

/** So many at a time, each again when it is done. */
async function repeatedly(count: number, stop: AbortSignal, work: () => Promise<unknown>): Promise<void> {
  const one = async () => {
    while (!stop.aborted) {
      await work().catch(() => undefined)
      // What is refused at once is not asked for again in the same moment.
      await sleep(1)
    }
  }
  await Promise.all(Array.from({ length: count }, one))
}

function inferring(name: string, inputs: () => Tensor[], count: number): Attack {
  return ({ url }, stop) => {
    const attacker = createInferenceClient('device', url)
    return repeatedly(count, stop, () => attacker.infer(name, inputs(), { timeout: 100_000 }))
  }
}

/** A loop of 10^15 turns: its trial ends when its time is up. Each has another name of a node, so it is another model. */
function uploading(count: number): Attack {
  let made = 0
  return async ({ system, folder }, stop) => {
    await repeatedly(count, stop, async () => {
      made += 1
      const file = path.join(folder, `endless-${made}.onnx`)
      writeModel(file, endless(made))
      const form = new FormData()
      form.set('model', new Blob([readFileSync(file)]), 'endless.onnx')
      const signal = AbortSignal.any([stop, AbortSignal.timeout(TURN_MS)])
      await fetch(`${system.benchmarkUrl}/v1/models?name=endless-${made}`, {
        method: 'POST',
        body: form,
        signal,
      })
    })
  }
}

const endless = (salt: number) => ({
  ...looping,
  nodes: looping.nodes.map((one) => ({ ...one, name: `loop-${salt}` })),
})

function filling(count: number): Attack {
  let made = 0
  return ({ system }, stop) =>
    repeatedly(count, stop, async () => {
      made += 1
      const weights = Buffer.alloc(16 * 1024 * 1024, made)
      const body = encode(
        model({
          inputs: [value('x', [1])],
          outputs: [value('y', [1])],
          nodes: [node('Neg', ['x'], ['y'], {}, { name: `n${made}` })],
        }),
      )
      const name = `filled-${made}`
      await fetch(`${system.benchmarkUrl}/v1/models?name=${name}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/octet-stream' },
        body: new Uint8Array(Buffer.concat([body, weights])),
        signal: stop,
      })
      await fetch(`${system.benchmarkUrl}/v1/models/${name}`, { method: 'DELETE', signal: stop })
    })
}

function asking(service: 'benchmark' | 'planner', route: string, count: number): Attack {
  return ({ system }, stop) => {
    const url = `${service === 'benchmark' ? system.benchmarkUrl : system.plannerUrl}${route}`
    const body = JSON.stringify({ model: 'small' })
    const headers = { 'Content-Type': 'application/json' }
    return repeatedly(count, stop, async () => {
      await (await fetch(url, { method: 'POST', headers, body, signal: stop })).text()
    })
  }
}

function listing(count: number): Attack {
  const routes = ['/v1/models', '/v1/benchmarks', '/v1/profiles', '/v1/calibrations']
  return ({ system }, stop) =>
    repeatedly(count, stop, async () => {
      for (const route of routes) await (await fetch(system.benchmarkUrl + route, { signal: stop })).text()
    })
}

function streaming(count: number): Attack {
  return async ({ system }, stop) => {
    const open = Array.from({ length: count }, () => http.get(`${system.plannerUrl}/v1/conditions/events`))
    for (const one of open) one.on('error', () => undefined).on('response', (res) => res.resume())
    await aborted(stop)
    for (const one of open) one.destroy()
  }
}

function trickling(count: number): Attack {
  return async ({ url }, stop) => {
    const { hostname, port } = new URL(url)
    const open = Array.from({ length: count }, () => net.connect(Number(port), hostname))
    for (const one of open) {
      one.on('error', () => undefined)
      one.write('POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n')
    }
    const timer = setInterval(() => open.forEach((one) => one.write('x')), 100)
    await aborted(stop)
    clearInterval(timer)
    for (const one of open) one.destroy()
  }
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
