/** The OpenAPI descriptions of the three services, as they serve them. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { createBenchmarkService } from '../../services/benchmark/app.ts'
import { createInferenceService } from '../../services/inference/app.ts'
import { createPlannerService } from '../../services/planner/app.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import {
  BENCHMARK_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../shared/platform/service/service-config.ts'
import { startTestRedis } from './redis.ts'

/** @returns them by service, in the order in which a client meets the services. */
export async function readDescriptions(): Promise<Map<string, unknown>> {
  const redis = await startTestRedis()
  const dataDir = mkdtempSync(path.join(os.tmpdir(), 'scission-reference-'))
  const env = { REDIS_URL: redis.url, SCISSION_DATA: dataDir }
  const log = createLog('reference', 'silent')
  const services = {
    benchmark: await createBenchmarkService(readConfig(BENCHMARK_SETTINGS, env), log),
    planner: createPlannerService(readConfig(PLANNER_SETTINGS, env), log),
    inference: createInferenceService(readConfig(INFERENCE_SETTINGS, env), log),
  }
  try {
    const found = new Map<string, unknown>()
    for (const [name, { app }] of Object.entries(services)) found.set(name, await descriptionOf(app))
    return found
  } finally {
    for (const service of Object.values(services)) await service.close()
    await redis.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

async function descriptionOf(app: RequestListener): Promise<unknown> {
  const listening = await listen(app, 0, '127.0.0.1')
  try {
    return await (await fetch(`${listening.url}/openapi.json`)).json()
  } finally {
    await listening.close()
  }
}
