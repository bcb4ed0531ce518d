import { afterAll, beforeAll } from 'vitest'
import { createLog } from '../../../shared/platform/log.ts'
import { producerConnection } from '../../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../../shared/platform/redis/state.ts'
import { startTestRedis } from '../../support/redis.ts'
import { startInference, type TestService } from './service.ts'
import { register, type ToyEngine, toyEngine, type ToyModel } from './toy-models.ts'
import { until } from '../../support/eventually.ts'

export interface ToyService {
  readonly service: TestService
  readonly state: State
  readonly engine: ToyEngine
  readonly redisUrl: string
}

/** One inference service with toy models, for all tests of the file or group it is called in. */
export function withToyService(toys: readonly ToyModel[], env: Record<string, string> = {}): ToyService {
  const engine = toyEngine(toys)
  const closing: (() => unknown)[] = []
  let started: Omit<ToyService, 'engine'> | undefined
  beforeAll(async () => {
    const redis = await startTestRedis()
    closing.unshift(() => redis.close())
    const state = openState(producerConnection(redis.url, createLog('test', 'silent')))
    closing.unshift(() => state.redis.disconnect())
    await until(async () => state.redis.status === 'ready')
    await register(state, ...toys)
    const service = await startInference(redis.url, { SCISSION_RESOURCE: 'device', ...env }, engine)
    closing.unshift(() => service.stop())
    started = { service, state, redisUrl: redis.url }
  })
  afterAll(async () => {
    for (const close of closing) await close()
  })
  const needed = () => {
    if (!started) throw new Error('the service is not started yet')
    return started
  }
  return {
    engine,
    get service() {
      return needed().service
    },
    get state() {
      return needed().state
    },
    get redisUrl() {
      return needed().redisUrl
    },
  }
}
