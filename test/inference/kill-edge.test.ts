/** A machine is lost and comes back under load: a process that is killed, and one that is frozen. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import { createLog } from '../../shared/platform/log.ts'
import { until } from '../support/eventually.ts'
import { hop } from '../support/fixtures.ts'
import { call } from './support/service.ts'
import { branchedModel, Y } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'
import { kill } from '../support/kill.ts'

const PERIOD_MS = 20
/** Long against what a busy machine may hold up, short enough to see that the frozen edge is not waited for. */
const DEADLINE_MS = 8000

/** The device runs here; the edge is a process, so that it can be killed. */
const services = withToyServices([branchedModel('a')])
let edge: ManagedProcess

function startEdge(): Promise<ManagedProcess> {
  const settings = { SCISSION_RESOURCE: 'edge', SCISSION_TIER: 'edge', SCISSION_LINK_INTERVAL_MS: '3600000' }
  return startProcess({
    name: 'edge',
    entry: new URL('./support/toy-resource.ts', import.meta.url),
    env: { ...settings, REDIS_URL: services.redisUrl, SCISSION_PORT: '0' },
    log: createLog('test', 'silent'),
  })
}

async function deploy(id: string, fallback: 'native' | 'none'): Promise<void> {
  const deployment = services.deploymentOf(id, [hop('device', 0, 1), hop('edge', 1, 3)], { fallback })
  await services.deploy(deployment)
  const told = await call('PUT', `${edge.url}/v1/deployments/${id}`, JSON.stringify(deployment))
  expect(told.status).toBe(200)
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
  const { status, json } = await services.infer(id, { parameters: { timeout: DEADLINE_MS * 1000 } })
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

const isRight = ({ status, values }: Answer) => status === 200 && values?.join() === Y.data.join()
const isClear = ({ status, error }: Answer) =>
  [502, 503, 504].includes(status) && /\bedge\b/.test(error ?? '')

beforeAll(async () => {
  await services.start('device')
  edge = await startEdge()
})
afterAll(() => edge?.stop())

describe('at 50 requests per second', () => {
  it('kill the edge: every request gets a right answer within its deadline, here and then there again', async () => {
    await deploy('killed', 'native')
    const { answers, stop } = load('killed')
    await until(async () => answers.length > 10 && answers.slice(-10).every((answer) => answer.by === 'edge'))
    kill(edge)
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
    kill(edge)
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
    kill(edge, 'SIGSTOP')
    await until(async () => answers.slice(-20).every((answer) => answer.by === 'device'))
    kill(edge, 'SIGCONT')
    await until(async () => answers.slice(-20).every((answer) => answer.by === 'edge'))
    const all = await stop()
    expect(all.filter((answer) => !isRight(answer))).toEqual([])
  })
})
