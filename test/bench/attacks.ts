/** What an attacker does, by what he shares with the client. He has few connections: what they are used for is what counts. */
import { Agent, fetch, FormData } from 'undici'
import http from 'node:http'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createInferenceClient } from '../../shared/client/inference.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { ENDLESS, looping, turns, upTo } from '../inference/executor/tiny-model-examples.ts'
import { encodeModel, type TinyModel } from '../inference/tiny-models.ts'
import { deep, deepModels, fillerModel, heavy } from './attack-models.ts'

const BYTES = { 'Content-Type': 'application/octet-stream' }
const JSON_BODY = { 'Content-Type': 'application/json' }
const PATIENCE_MS = 2000

/** Where the services are, and what a caller shows of himself. */
export interface Place {
  url: string
  benchmarkUrl: string
  plannerUrl: string
  authorization: string
}

/** Goes on until it is told to stop; what it is answered does not matter to it. */
type Attack = (place: Place, stop: AbortSignal) => Promise<void>

/** What the client does meanwhile: all of them ask for a network; some also want what is attacked. */
export type Wish = 'infer' | 'upload' | 'benchmark' | 'plan'

export interface AttackOnClient {
  what: string
  wishes: readonly Wish[]
  run: Attack
  /** Models that must be there, by name. */
  models?: Readonly<Record<string, () => TinyModel>>
  /** 99th percentile of the client beside it, in times of that alone. @defaultValue 3 */
  most?: number
}

export const ATTACKS: Record<string, AttackOnClient> = {
  cpu: { what: 'JSON of 262,144 numbers', wishes: ['infer'], run: numbers(4) },
  memory: {
    what: 'outputs of 800 MB',
    wishes: ['infer'],
    run: inferring('counting', () => upTo(100_000_000n), 2),
  },
  executor: {
    what: 'runs without end, 100 ms each',
    wishes: ['infer'],
    run: inferring('looping', () => turns(ENDLESS), 2),
  },
  upload: { what: 'uploads of 16 MB that are no model', wishes: ['infer', 'upload'], run: garbage(2) },
  analysis: {
    what: 'uploads that analyse for ever',
    wishes: ['infer', 'upload'],
    run: uploading(4),
  },
  disk: { what: 'models with 16 MB of weights', wishes: ['infer', 'upload'], run: filling(2) },
  benchmark: {
    what: 'measuring one model, again and again',
    wishes: ['infer', 'benchmark'],
    run: asking('benchmarkUrl', '/v1/benchmarks', { model: 'wide', force: true, runs: 30 }, 4),
  },
  plan: {
    what: 'plan queries',
    wishes: ['infer', 'plan'],
    run: asking('plannerUrl', '/v1/plans', { model: 'small' }, 4),
  },
  values: {
    what: 'plan queries of 500,000 values',
    wishes: ['infer', 'plan'],
    run: asking(
      'plannerUrl',
      '/v1/plans',
      { model: 'small', codecs: Array.from({ length: 500_000 }, () => 1) },
      4,
    ),
  },
  redis: { what: 'lists that read Redis', wishes: ['infer', 'plan'], run: listing(4) },
  streams: { what: '200 streams of events', wishes: ['infer', 'plan'], run: streaming(200) },
  loading: {
    what: 'loading 128 MB of weights, again and again',
    wishes: ['infer'],
    run: reloading('heavy', 2),
    models: { heavy },
    most: 2,
  },
  layers: {
    what: 'models of 20,000 layers: their layers asked for, and others uploaded',
    wishes: ['infer', 'upload'],
    run: askingLayers('deep', 3),
    models: { deep },
  },
  slow: { what: '200 bodies that trickle', wishes: ['infer'], run: trickling(200) },
}

const agent = new Agent({ connections: 256, pipelining: 1 })

interface Post {
  method?: string
  headers?: Record<string, string>
  body?: Uint8Array | string | FormData
  /** ms after which the attacker no longer waits. */
  patienceMs?: number
}

/** @returns when the answer is read. */
async function call(place: Place, url: string, stop: AbortSignal, { patienceMs, ...init }: Post = {}) {
  const headers = { ...init.headers, Authorization: place.authorization }
  const signal = patienceMs === undefined ? stop : AbortSignal.any([stop, AbortSignal.timeout(patienceMs)])
  const answer = await fetch(url, { ...init, headers, signal, dispatcher: agent })
  await answer.arrayBuffer()
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
  return ({ url, authorization }, stop) => {
    const attacker = createInferenceClient('device', url, undefined, { authorization: () => authorization })
    return repeatedly(count, stop, () => attacker.infer(name, inputs(), { timeout: 100_000 }))
  }
}

function numbers(count: number): Attack {
  const data = Array.from({ length: 262_144 }, (_, index) => index / 7)
  const inputs = [{ name: 'x', shape: [1, data.length], datatype: 'FP32', data }]
  const post = { method: 'POST', headers: JSON_BODY, body: JSON.stringify({ inputs }) }
  return (place, stop) =>
    repeatedly(count, stop, () => call(place, `${place.url}/v2/models/wide/infer`, stop, post))
}

/** A loop of 10^15 turns: its trial ends when its time is up. Each has another name of a node, so it is another model. */
function uploading(count: number): Attack {
  let made = 0
  return (place, stop) =>
    repeatedly(count, stop, async () => {
      made += 1
      const form = new FormData()
      form.set('model', new Blob([encodeModel(endless(made))]), 'endless.onnx')
      const url = `${place.benchmarkUrl}/v1/models?name=endless-${made}`
      await call(place, url, stop, { method: 'POST', body: form, patienceMs: PATIENCE_MS })
    })
}

const endless = (salt: number) => ({
  ...looping,
  nodes: looping.nodes.map((one) => ({ ...one, name: `loop-${process.pid}-${salt}` })),
})

function garbage(count: number): Attack {
  const body = new Uint8Array(16 * 1024 * 1024).fill(255)
  return (place, stop) =>
    repeatedly(count, stop, () =>
      call(place, `${place.benchmarkUrl}/v1/models?name=garbage`, stop, {
        method: 'POST',
        headers: BYTES,
        body,
      }),
    )
}

function filling(count: number): Attack {
  const filler = fillerModel()
  let made = 0
  return (place, stop) =>
    repeatedly(count, stop, async () => {
      made += 1
      const url = `${place.benchmarkUrl}/v1/models`
      const body = filler(made)
      await call(place, `${url}?name=filled-${made}`, stop, { method: 'POST', headers: BYTES, body })
      await call(place, `${url}/filled-${made}`, stop, { method: 'DELETE' })
    })
}

function asking(service: 'benchmarkUrl' | 'plannerUrl', route: string, body: object, count: number): Attack {
  const post = { method: 'POST', headers: JSON_BODY, body: JSON.stringify(body) }
  return (place, stop) => repeatedly(count, stop, () => call(place, place[service] + route, stop, post))
}

function listing(count: number): Attack {
  const routes = ['/v1/models', '/v1/benchmarks', '/v1/profiles', '/v1/calibrations']
  return (place, stop) =>
    repeatedly(count, stop, async () => {
      for (const route of routes) await call(place, place.benchmarkUrl + route, stop)
    })
}

/** Another of its requests finds the model loaded, being loaded, or just unloaded. */
function reloading(name: string, count: number): Attack {
  return (place, stop) =>
    repeatedly(count, stop, async () => {
      for (const what of ['load', 'unload'])
        await call(place, `${place.url}/v2/repository/models/${name}/${what}`, stop, { method: 'POST' })
    })
}

/** Beside its requests for layers, one uploads. */
function askingLayers(name: string, count: number): Attack {
  let model: ReturnType<typeof deepModels> | undefined
  let made = 0
  return async (place, stop) => {
    model ??= deepModels()
    const fresh = model
    const models = `${place.benchmarkUrl}/v1/models`
    const asking = repeatedly(count, stop, () => call(place, `${models}/${name}/layers`, stop))
    const uploads = repeatedly(1, stop, async () => {
      made += 1
      const own = `${name}-${process.pid}-${made}`
      await call(place, `${models}?name=${own}`, stop, { method: 'POST', headers: BYTES, body: fresh(made) })
      await call(place, `${models}/${own}`, stop, { method: 'DELETE' })
    })
    await Promise.all([asking, uploads])
  }
}

function streaming(count: number): Attack {
  return async ({ plannerUrl, authorization: Authorization }, stop) => {
    const url = `${plannerUrl}/v1/conditions/events`
    const open = Array.from({ length: count }, () => http.get(url, { headers: { Authorization } }))
    for (const one of open) one.on('error', () => undefined).on('response', (res) => res.resume())
    await aborted(stop)
    for (const one of open) one.destroy()
  }
}

function trickling(count: number): Attack {
  return async ({ url, authorization }, stop) => {
    const { hostname, port } = new URL(url)
    const open = Array.from({ length: count }, () => net.connect(Number(port), hostname))
    for (const one of open) {
      one.on('error', () => undefined)
      one.write(
        `POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Length: 1000000\r\n\r\n`,
      )
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
