/** The three services in this process, over an emulated Redis, with a little of everything to ask for. Files here need no Vitest. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openRedis } from '../../infra/start/redis/open-redis.ts'
import { createBenchmarkService } from '../../services/benchmark/app.ts'
import { createInferenceService } from '../../services/inference/app.ts'
import { createPlannerService } from '../../services/planner/app.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import {
  BENCHMARK_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../shared/platform/service/service-config.ts'
import { PROTOCOL_TOYS } from '../inference/support/protocol-toys.ts'
import { register, toyEngine } from '../inference/support/toy-models.ts'
import { exampleDocuments } from './targets/documents.ts'

export const SERVICES = ['benchmark', 'planner', 'inference'] as const
export type ServiceName = (typeof SERVICES)[number]

export interface FuzzedSystem {
  state: State
  urlOf: (service: ServiceName) => string
  /** @throws Error naming a service that is not ready any more. */
  checkReady: () => Promise<void>
  /** Writes what belongs there once more: inputs delete and replace it. */
  refresh: () => Promise<void>
  close: () => Promise<void>
}

const READY_WITHIN_MS = 30_000

export async function startFuzzedSystem(): Promise<FuzzedSystem> {
  const log = createLog('fuzz', 'silent')
  const redis = await openRedis({ log, env: { PATH: '' } })
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-fuzz-'))
  const state = openState(workerConnection(redis.url, log))
  await putDocuments(state)
  const env = { REDIS_URL: redis.url, SCISSION_DATA: folder }
  const settings = {
    benchmark: readConfig(BENCHMARK_SETTINGS, env),
    planner: readConfig(PLANNER_SETTINGS, env),
    inference: readConfig(INFERENCE_SETTINGS, {
      ...env,
      SCISSION_RESOURCE: 'fuzzed',
      SCISSION_TIER: 'device',
    }),
  }
  const services = {
    benchmark: await createBenchmarkService(settings.benchmark, log),
    planner: createPlannerService(settings.planner, log),
    inference: createInferenceService(settings.inference, log, toyEngine(PROTOCOL_TOYS)),
  }
  const doors = {
    benchmark: await listen(services.benchmark.app, 0, '127.0.0.1', '/', settings.benchmark),
    planner: await listen(services.planner.app, 0, '127.0.0.1', '/', settings.planner),
    inference: await listen(services.inference.app, 0, '127.0.0.1', '/v2', settings.inference),
  }
  await services.inference.start(doors.inference.url)
  const urlOf = (service: ServiceName) => doors[service].url
  await untilReady(urlOf)
  return {
    state,
    urlOf,
    checkReady: () => untilReady(urlOf),
    refresh: () => putDocuments(state),
    close: async () => {
      services.benchmark.endStreams()
      services.planner.endStreams()
      await services.inference.leave()
      for (const name of SERVICES) {
        await doors[name].close()
        await services[name].close()
      }
      state.redis.disconnect()
      await redis.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function putDocuments(state: State): Promise<void> {
  await register(state, ...PROTOCOL_TOYS)
  for (const [kind, documents] of Object.entries(exampleDocuments()))
    for (const [id, document] of Object.entries(documents))
      await putDocument(state, kind, id, JSON.stringify(document))
}

/** Whatever it is, as somebody who reaches Redis can write it. Readers are told. */
export async function putDocument(
  state: State,
  kind: string,
  id: string,
  text: string | Buffer,
): Promise<void> {
  await state.redis.hset(`scission:${kind}`, id, text)
  await state.redis.publish('scission:changes', JSON.stringify({ kind, id }))
}

async function untilReady(urlOf: (service: ServiceName) => string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS
  for (const service of SERVICES)
    for (;;) {
      const answer = await fetch(`${urlOf(service)}/readyz`)
      const said = await answer.text()
      if (answer.status === 200) break
      if (Date.now() > deadline)
        throw new Error(`the ${service} service is not ready: ${answer.status} ${said}`)
      await sleep(50)
    }
}
