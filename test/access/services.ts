/** The three services of a system with a key, in this process, each behind a door of each kind that asks for a token. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createBenchmarkService } from '../../services/benchmark/app.ts'
import { createInferenceService } from '../../services/inference/app.ts'
import { createPlannerService } from '../../services/planner/app.ts'
import { Keys } from '../../services/planner/keys/keys.ts'
import type { Door } from '../../shared/platform/access/guard.ts'
import { SystemAccess } from '../../shared/platform/access/system-access.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { formatToken } from '../../shared/platform/access/token.ts'
import type { App } from '../../shared/platform/http-server/app.ts'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import {
  BENCHMARK_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../shared/platform/service/service-config.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

export const SHOWS = ['everything', 'public', 'internal'] as const
type Shows = Door['shows']

export interface SecuredServices {
  redis: AnyRedis
  dataDir: string
  /** As a service with the system key sees it. */
  state: State
  keys: Keys
  systemKey: SystemKey
  keyText: string
  urlOf: (service: string, shows: Shows) => string
  /** The token that a service makes of the system key. */
  tokenOf: (kind: 'operator' | 'resource', name: string) => string
  close: () => Promise<void>
}

type AnyRedis = Pick<TestRedis, 'url' | 'close'>

/** @param start a Redis of its own, which ends with the services. @defaultValue an emulated one */
export async function startSecuredServices(
  more: NodeJS.ProcessEnv = {},
  start: () => Promise<AnyRedis> = startTestRedis,
): Promise<SecuredServices> {
  const redis = await start()
  const dataDir = mkdtempSync(path.join(os.tmpdir(), 'scission-access-'))
  const keyText = newSystemKey()
  const env = { REDIS_URL: redis.url, SCISSION_DATA: dataDir, SCISSION_SYSTEM_KEY: keyText, ...more }
  const log = createLog('test', 'silent')
  const services = {
    benchmark: await createBenchmarkService(readConfig(BENCHMARK_SETTINGS, env), log),
    planner: createPlannerService(readConfig(PLANNER_SETTINGS, env), log),
    inference: createInferenceService(
      readConfig(INFERENCE_SETTINGS, { ...env, SCISSION_RESOURCE: 'edge' }),
      log,
    ),
  }
  const doors = new Map<string, Listening>()
  const open = async (name: string, app: App) => {
    for (const shows of SHOWS)
      doors.set(`${name} ${shows}`, await listen(app.at({ shows, asks: true }), 0, '127.0.0.1'))
  }
  for (const [name, { app }] of Object.entries(services)) await open(name, app)
  const access = new SystemAccess(readConfig(PLANNER_SETTINGS, env), 'planner', log)
  const connection = workerConnection(redis.url, log)
  const state = openState(connection, log, access.seal)
  access.follow(state)
  const systemKey = SystemKey.read(keyText, 'test')
  return {
    redis,
    dataDir,
    state,
    keys: new Keys(state, access),
    systemKey,
    keyText,
    urlOf: (service, shows) => doors.get(`${service} ${shows}`)?.url ?? '',
    tokenOf: (kind, name) => formatToken(systemKey.tokenOf(kind, name)),
    close: async () => {
      services.benchmark.endStreams()
      services.planner.endStreams()
      for (const door of doors.values()) await door.close()
      for (const service of Object.values(services)) await service.close()
      connection.disconnect()
      await redis.close()
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** Sends a request with a token. @returns the status and the text of the answer; the rest of a stream is not read. */
export async function send(
  method: string,
  url: string,
  token?: string,
): Promise<{ status: number; text: string }> {
  const leaving = new AbortController()
  const headers = new Headers(token === undefined ? [] : [['Authorization', `Bearer ${token}`]])
  const answer = await fetch(url, { method, headers, signal: leaving.signal })
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false
  const text = isStream ? '' : await answer.text()
  leaving.abort()
  return { status: answer.status, text }
}
