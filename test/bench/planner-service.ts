/**
 * The planner as a process: how much memory 1,000 profiles of 500 layers take, how soon a changed profile shows in its
 * answers, and how fast it answers 200 plan queries per second over HTTP.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProcessGroup } from '../../infra/start/processes/group.ts'
import { openRedis } from '../../infra/start/redis/open-redis.ts'
import { ModelId } from '../../shared/contracts/common.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import { createLog } from '../../shared/platform/log.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { linkId, openState, profileId, type State, structureId } from '../../shared/platform/redis/state.ts'
import { exampleLink, exampleModel, exampleProfile, exampleResource } from '../support/fixtures.ts'
import { randomFrom } from '../support/random.ts'
import { figure } from './bench.ts'
import { chainStructure, SHAPES, SPEEDS } from './planner-cases.ts'
import type { Part } from './planner-speed.ts'

const MODELS = 100
const LAYERS = 500
const TIERS = ['device', 'edge', 'cloud']
const EDGES = 4
const CLOUDS = 5
const RATE = 200
const SECONDS = 10
const CHANGES = 20
/** The model asked for at that rate. */
const SMALL_LAYERS = 100
const SMALL_ON = ['device', 'edge0', 'cloud0']
const SMALL = `${SMALL_LAYERS} layers on ${SMALL_ON.length} resources`
const SMALL_MODEL = `model${MODELS}`
/** Questions asked again and again at that rate. */
const REPEATED = 37
/** Different questions to each model, before memory is looked at. */
const ROUNDS = 14
const MB = 1e6

export async function measureService(say: (text: string) => void): Promise<Part> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const log = createLog('bench', 'error')
  const group = new ProcessGroup(log)
  const redis = await openRedis({ dataDir: path.join(folder, 'redis'), log, env: process.env })
  group.add({ name: 'Redis', stop: redis.close })
  const state = openState(workerConnection(redis.url, log))
  try {
    say(`${MODELS} models of ${LAYERS} layers on ${1 + EDGES + CLOUDS} resources`)
    await fill(state)
    const planner = await group.start({
      name: 'planner',
      entry: new URL('../../services/planner/main.ts', import.meta.url),
      env: {
        SCISSION_HOST: '127.0.0.1',
        SCISSION_PORT: '0',
        REDIS_URL: redis.url,
        SCISSION_REDIS_KIND: redis.kind,
        // Nobody sends heartbeats here.
        SCISSION_HEARTBEAT_MS: '60000',
      },
    })
    const client = new Client(planner.url)
    await client.readyAt('/readyz')
    const memory = await measureMemory(client, planner.pid ?? 0)
    say('changed profiles')
    const pickup = await measurePickup(client, state)
    const alone = await measureAlone(client)
    say(`${RATE} requests per second, three times ${SECONDS} s`)
    // No two alike: nothing is answered from what was kept.
    const latencies = await measureLoad(client, (at) => `${SMALL_MODEL}&maxLatencyMs=${1e6 + at}`)
    const repeated = await measureLoad(client, (at) => `${SMALL_MODEL}&firstLayersOnDevice=${at % REPEATED}`)
    const large = await measureLoad(client, (at) => `model0&firstLayersOnDevice=${at % REPEATED}`)
    return {
      figures: [
        figure('planner process, 1,000 profiles of 500 layers', memory.loaded / MB, 'MB', 'lower', 300),
        figure(
          `the same after ${ROUNDS} plans of each of the 100 models`,
          memory.used / MB,
          'MB',
          'lower',
          300,
        ),
        figure('changed profile in the answers, slowest of 20', nearestRank(pickup, 1), 'ms', 'lower', 100),
        figure(
          `GET /v1/plans at ${RATE} requests/s (${SMALL}, no two alike), median`,
          nearestRank(latencies, 0.5),
          'ms',
          'lower',
          3,
        ),
        figure('the same, 99th percentile', nearestRank(latencies, 0.99), 'ms', 'lower', 10),
        figure(
          `the same, ${REPEATED} questions in turn, median`,
          nearestRank(repeated, 0.5),
          'ms',
          'lower',
          3,
        ),
        figure('the same, 99th percentile', nearestRank(repeated, 0.99), 'ms', 'lower', 10),
        figure(
          `the same rate and turns, ${LAYERS} layers on 10 resources, median`,
          nearestRank(large, 0.5),
          'ms',
          'lower',
          3,
        ),
        figure('the same, 99th percentile', nearestRank(large, 0.99), 'ms', 'lower', 10),
        figure(
          `one GET /v1/plans after the other, ${LAYERS} layers on 10 resources, median`,
          nearestRank(alone, 0.5),
          'ms',
          'lower',
          null,
        ),
      ],
      raw: { redis: redis.kind, memory, pickup, alone, latencies, repeated, large },
    }
  } finally {
    state.redis.disconnect()
    await group.stopAll()
    rmSync(folder, { recursive: true, force: true })
  }
}

const modelIdOf = (model: number) => ModelId.parse(model.toString(16).padStart(64, '0'))
const RESOURCES = [
  { name: 'device', tier: 'device', ms: SPEEDS.device },
  ...Array.from({ length: EDGES }, (_, at) => ({
    name: `edge${at}`,
    tier: 'edge',
    ms: SPEEDS.edge * (1 + at / 10),
  })),
  ...Array.from({ length: CLOUDS }, (_, at) => ({
    name: `cloud${at}`,
    tier: 'cloud',
    ms: SPEEDS.cloud * (1 + at / 10),
  })),
]
async function fill(state: State): Promise<void> {
  const random = randomFrom(5)
  for (const { name, tier } of RESOURCES) await state.resources.put(name, exampleResource(tier, { name }))
  await fillLinks(state)
  for (let model = 0; model < MODELS; model += 1) await fillModel(state, model, LAYERS, RESOURCES, random)
  const small = RESOURCES.filter(({ name }) => SMALL_ON.includes(name))
  await fillModel(state, MODELS, SMALL_LAYERS, small, random)
}

async function fillModel(
  state: State,
  model: number,
  layers: number,
  resources: typeof RESOURCES,
  random: () => number,
): Promise<void> {
  const structure = chainStructure(layers, random)
  const declared = (name: string) => ({ name, datatype: 'FP32' as const, shape: [1, 250] })
  const record = exampleModel({
    id: modelIdOf(model),
    name: `model${model}`,
    inputs: [declared('t0')],
    outputs: [declared(`t${layers}`)],
    inputShapes: { t0: [1, 250] },
    shapesKey: SHAPES,
  })
  const { id } = record
  await state.models.put(id, record)
  await state.structures.put(structureId(id, SHAPES), { ...structure, model: id })
  for (const { name, ms } of resources) {
    const profile = profileOf(id, name, layers, ms, random)
    await state.profiles.put(profile.id, profile)
  }
}

async function fillLinks(state: State): Promise<void> {
  for (const [at, from] of RESOURCES.entries())
    for (const to of RESOURCES.slice(at + 1)) {
      if (TIERS.indexOf(to.tier) <= TIERS.indexOf(from.tier)) continue
      const mbps = from.tier === 'device' ? 30 : 200
      const figures = { rttMs: 10, bandwidthMbps: mbps, returnBandwidthMbps: mbps }
      await state.links.put(linkId(from.name, to.name), exampleLink(from.name, to.name, figures))
    }
}

function profileOf(
  model: ModelId,
  resource: string,
  layers: number,
  ms: number,
  random: () => number,
): Profile {
  const layerMs = Array.from({ length: layers }, () => (2 * ms * random()) / layers)
  const options = { threads: 1, optimisation: 'all' as const }
  const identity = { model, shapesKey: SHAPES, resource, options }
  return exampleProfile(resource, layerMs, {
    ...identity,
    id: profileId(identity),
    whole: { medianMs: ms, samplesMs: [ms], cpuMs: ms },
    layers: layerMs.map((value) => ({ ms: value, lowMs: 0.9 * value, highMs: 1.1 * value })),
    enterMs: [0, ...layerMs.map((value) => value / 100)],
    exitMs: [...layerMs.map((value) => value / 100), 0],
    interval: { confidence: 0.95, relative: 0.05, fixedMs: 0.1 },
  })
}

/** Keeps its connections. */
class Client {
  readonly #url: string
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 32 })

  constructor(url: string) {
    this.#url = url
  }

  get(query: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      http
        .get(this.#url + query, { agent: this.#agent }, (response) => {
          const { statusCode: status = 0 } = response
          text(response).then((body) => resolve({ status, body }), reject)
        })
        .on('error', reject)
    })
  }

  /** The best plan's predicted ms. */
  async predicted(query: string): Promise<number> {
    const { status, body } = await this.get(query)
    if (status !== 200) throw new Error(`GET ${query}: ${status} ${body.slice(0, 300)}`)
    return (JSON.parse(body) as { plans: { predictedMs: number }[] }).plans[0]!.predictedMs
  }

  async readyAt(route: string): Promise<void> {
    for (let tries = 0; tries < 300; tries += 1) {
      if ((await this.get(route)).status === 200) return
      await sleep(100)
    }
    throw new Error(`the planner was not ready at ${route} within 30 s`)
  }
}

async function measureMemory(client: Client, pid: number) {
  await client.predicted('/v1/plans?model=model0')
  const loaded = residentBytes(pid)
  for (let round = 0; round < ROUNDS; round += 1)
    for (let model = 0; model < MODELS; model += 1)
      await client.predicted(`/v1/plans?model=model${model}&firstLayersOnDevice=${round}`)
  return { loaded, used: residentBytes(pid) }
}

/** Linux only, as the machines this benchmark is for. */
function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1] ?? Number.NaN) * 1024
}

/** From the write to the first answer that knows it. */
async function measurePickup(client: Client, state: State): Promise<number[]> {
  const random = randomFrom(6)
  const query = '/v1/plans?model=model7&mustUseResources=device&maxStages=1'
  const samples: number[] = []
  for (let change = 0; change < CHANGES; change += 1) {
    const before = await client.predicted(query)
    const ms = SPEEDS.device * (change + 2)
    const profile = profileOf(modelIdOf(7), 'device', LAYERS, ms, random)
    const begin = performance.now()
    await state.profiles.put(profile.id, profile)
    while ((await client.predicted(query)) === before) if (performance.now() - begin > 5000) break
    samples.push(performance.now() - begin)
  }
  return samples
}

/** One request after the other. */
async function measureAlone(client: Client): Promise<number[]> {
  const samples: number[] = []
  for (let request = 0; request < 50; request += 1) {
    const begin = performance.now()
    await client.predicted(`/v1/plans?model=model${request % 10}&firstLayersOnDevice=${request % 37}`)
    samples.push(performance.now() - begin)
  }
  return samples.slice(10)
}

/**
 * Open loop: a request is sent when its time has come, whether or not the last was answered. The first second warms up
 * and does not count.
 */
async function measureLoad(client: Client, queryOf: (request: number) => string): Promise<number[]> {
  const samples: number[] = []
  const pending: Promise<void>[] = []
  const begin = performance.now()
  const warm = RATE
  for (let request = 0; request < RATE * SECONDS + warm; request += 1) {
    const due = begin + (request * 1000) / RATE
    const wait = due - performance.now()
    if (wait > 0) await sleep(wait)
    const query = `/v1/plans?model=${queryOf(request)}`
    pending.push(
      client.predicted(query).then(() => {
        // From when it was due: a late start counts.
        if (request >= warm) samples.push(performance.now() - Math.max(due, begin))
      }),
    )
  }
  await Promise.all(pending)
  return samples
}
