/** A planner service over a Redis of its own, with a chain of four layers on three machines. */
import { afterEach, beforeEach } from 'vitest'
import { createLog } from '../../shared/platform/log.ts'
import { linkId, type State, structureId } from '../../shared/platform/redis/state.ts'
import {
  exampleLink,
  exampleModel,
  exampleProfile,
  exampleResource,
  exampleStructure,
} from '../support/fixtures.ts'
import { withTestRedis } from '../support/redis.ts'
import { type StartedPlanner, startPlanner } from '../support/services.ts'
import { JSON_TYPE } from '../support/json-type.ts'

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

/** One Redis for the file; before each test it has the example data only, and a planner starts. */
export function usePlanner() {
  const redis = withTestRedis()
  let planner: StartedPlanner | undefined
  beforeEach(async () => {
    await redis().state.redis.flushall()
    await putExample(redis().state)
    planner = await startPlanner(redis().url)
  })
  afterEach(() => planner?.close())
  const used = {
    get state() {
      return redis().state
    },
    get url() {
      return planner?.url ?? ''
    },
    get redisUrl() {
      return redis().url
    },
    endStreams: () => planner?.endStreams(),
  }
  const ask = async (path: string, body?: unknown): Promise<Answer> => {
    const init = body === undefined ? {} : { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) }
    const response = await fetch(used.url + path, init)
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
