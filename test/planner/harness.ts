/** A planner service over a Redis of its own, with a chain of four layers on three machines. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { createPlannerService, type PlannerService } from '../../services/planner/app.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { linkId, openState, type State, structureId } from '../../shared/platform/redis/state.ts'
import {
  exampleLink,
  exampleModel,
  exampleProfile,
  exampleResource,
  exampleStructure,
} from '../support/fixtures.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { eventually } from '../support/eventually.ts'

export const log = createLog('test', 'silent')

export interface Answer {
  status: number
  body: Record<string, unknown>
}
export interface PlanShape {
  id: string
  predictedMs: number
  emulated: boolean
  warnings: string[]
  stages: { resource: string; from: number; to: number }[]
  transfers: { codec: string; bytes: number; wireBytes: number; ms: number }[]
}

export const plansOf = (answer: Answer) => answer.body.plans as PlanShape[]
export const errorOf = (answer: Answer) =>
  answer.body.error as { code: string; message: string; details?: Record<string, unknown> }

/** Starts before the tests of the file, with fresh example data before each of them. */
export function usePlanner() {
  const used = {} as { redis: TestRedis; state: State; planner: PlannerService; listening: Listening }
  beforeAll(async () => {
    used.redis = await startTestRedis()
    used.state = openState(workerConnection(used.redis.url, log))
  })
  afterAll(async () => {
    used.state?.redis.disconnect()
    await used.redis?.close()
  })
  beforeEach(async () => {
    await used.state.redis.flushall()
    await putExample(used.state)
    used.planner = createPlannerService(readConfig(PLANNER_SETTINGS, { REDIS_URL: used.redis.url }), log)
    used.listening = await listen(used.planner.app, 0, '127.0.0.1')
    await eventually(async () => expect((await fetch(`${used.listening.url}/readyz`)).status).toBe(200))
  })
  afterEach(async () => {
    await used.listening?.close()
    await used.planner?.close()
  })
  const ask = async (path: string, body?: unknown): Promise<Answer> => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const response = await fetch(used.listening.url + path, init)
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  return { used, ask }
}

/** Device 10 ms, edge 4 ms and cloud 1 ms a layer; every link 1 ms and 1 byte per µs. */
export async function putExample(state: State): Promise<void> {
  const model = exampleModel()
  const machines = [
    ['device', 10],
    ['edge', 4],
    ['cloud', 1],
  ] as const
  const profiles = machines.map(([name, layerMs]) =>
    exampleProfile(name, [layerMs, layerMs, layerMs, layerMs]),
  )
  const links = [
    ['device', 'edge'],
    ['device', 'cloud'],
    ['edge', 'cloud'],
  ] as const
  await Promise.all([
    state.models.put(model.id, model),
    state.structures.put(structureId(model.id, exampleStructure().shapesKey), exampleStructure()),
    ...machines.map(([name]) => state.resources.put(name, exampleResource(name))),
    ...profiles.map((profile) => state.profiles.put(profile.id, profile)),
    ...links.map(([from, to]) => state.links.put(linkId(from, to), exampleLink(from, to))),
  ])
}
