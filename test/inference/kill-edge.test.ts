/** A machine is lost and comes back under load: a process that is killed, and one that is frozen. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import { Deployment } from '../../shared/contracts/plan.ts'
import { createLog } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { call, postJson, startInference, type TestService } from './support/service.ts'
import { branchedModel, register, toyEngine } from './support/toy-models.ts'
import { until } from '../support/eventually.ts'

const toy = branchedModel('a')
const X = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
const WHOLE = [6, 20]
const PERIOD_MS = 20
/** Long against what a busy machine may hold up, short enough to see that the frozen edge is not waited for. */
const DEADLINE_MS = 8000

let redis: TestRedis
let state: State
let device: TestService
let edge: ManagedProcess

function startEdge(): Promise<ManagedProcess> {
  return startProcess({
    name: 'edge',
    entry: new URL('./support/toy-resource.ts', import.meta.url),
    env: { ...settingsOf('edge'), REDIS_URL: redis.url, SCISSION_PORT: '0' },
    log: createLog('test', 'silent'),
  })
}

const settingsOf = (name: string) => ({
  SCISSION_RESOURCE: name,
  SCISSION_TIER: name,
  SCISSION_LINK_INTERVAL_MS: '3600000',
})

async function deploy(id: string, fallback: 'native' | 'none'): Promise<void> {
  const deployment = Deployment.parse({
    id,
    planId: `plan-${id}`,
    model: toy.model.id,
    shapesKey: toy.structure.shapesKey,
    entry: { resource: 'device', url: device.url },
    hops: [
      { resource: 'device', from: 0, to: 1 },
      { resource: 'edge', from: 1, to: 3 },
    ],
    fallback,
    predictedMs: 1,
    emulated: false,
    state: 'ready',
    createdAt: new Date().toISOString(),
  })
  await state.deployments.put(id, deployment)
  for (const url of [device.url, edge.url]) {
    const answer = await call('PUT', `${url}/v1/deployments/${id}`, JSON.stringify(deployment))
    expect(answer.status).toBe(200)
  }
}

interface Answer {
  status: number
  values: number[] | undefined
  error: string | undefined
  /** The resource that ran the second half. */
  by: unknown
  tookMs: number
}

async function infer(id: string): Promise<Answer> {
  const started = performance.now()
  const body = { inputs: [X], parameters: { timeout: DEADLINE_MS * 1000 } }
  const { status, json } = await postJson(`${device.url}/v2/models/${id}/infer`, body)
  const answer = json as {
    outputs?: { data: number[] }[]
    error?: string
    parameters?: Record<string, unknown>
  }
  return {
    status,
    values: answer.outputs?.[0]?.data,
    error: answer.error,
    by: answer.parameters?.['scission_hop1_resource'],
    tookMs: performance.now() - started,
  }
}

/** 50 requests per second, whatever becomes of them, until `stop`. */
function load(id: string) {
  const pending: Promise<Answer>[] = []
  const answers: Answer[] = []
  const timer = setInterval(
    () => pending.push(infer(id).then((answer) => (answers.push(answer), answer))),
    PERIOD_MS,
  )
  const stop = () => {
    clearInterval(timer)
    return Promise.all(pending)
  }
  return { answers, stop }
}

const isRight = ({ status, values }: Answer) => status === 200 && values?.join() === WHOLE.join()
const isClear = ({ status, error }: Answer) =>
  [502, 503, 504].includes(status) && /\bedge\b/.test(error ?? '')

beforeAll(async () => {
  redis = await startTestRedis()
  state = openState(producerConnection(redis.url, createLog('test', 'silent')))
  await until(async () => state.redis.status === 'ready')
  await register(state, toy)
  device = await startInference(redis.url, settingsOf('device'), toyEngine([toy]))
  edge = await startEdge()
})
afterAll(async () => {
  await edge?.stop()
  await device?.stop()
  state?.redis.disconnect()
  await redis?.close()
})

describe('at 50 requests per second', () => {
  it('kill the edge: every request gets a right answer within its deadline, here and then there again', async () => {
    await deploy('killed', 'native')
    const { answers, stop } = load('killed')
    await until(async () => answers.length > 10 && answers.slice(-10).every((answer) => answer.by === 'edge'))
    process.kill(edge.pid ?? 0, 'SIGKILL')
    await edge.exited
    await until(async () => answers.slice(-20).every((answer) => answer.by === 'device'))
    edge = await startEdge()
    await until(async () => answers.slice(-20).every((answer) => answer.by === 'edge'))
    const all = await stop()
    expect(all.filter((answer) => !isRight(answer))).toEqual([])
    expect(Math.max(...all.map(({ tookMs }) => tookMs))).toBeLessThan(1.5 * DEADLINE_MS)
  })

  it('kill the edge where no fallback is allowed: every request gets an answer or an error that names it', async () => {
    await deploy('strict', 'none')
    const { answers, stop } = load('strict')
    await until(async () => answers.length > 10)
    process.kill(edge.pid ?? 0, 'SIGKILL')
    await edge.exited
    await until(async () => answers.slice(-20).every((answer) => answer.status === 502))
    edge = await startEdge()
    await until(async () => answers.slice(-20).every(isRight))
    const all = await stop()
    expect(all.filter((answer) => !isRight(answer) && !isClear(answer))).toEqual([])
  })

  it('freeze the edge: what it sits on is answered here in time', async () => {
    await deploy('frozen', 'native')
    const { answers, stop } = load('frozen')
    await until(async () => answers.length > 10)
    process.kill(edge.pid ?? 0, 'SIGSTOP')
    await until(async () => answers.slice(-20).every((answer) => answer.by === 'device'))
    process.kill(edge.pid ?? 0, 'SIGCONT')
    await until(async () => answers.slice(-20).every((answer) => answer.by === 'edge'))
    const all = await stop()
    expect(all.filter((answer) => !isRight(answer))).toEqual([])
  })
})
