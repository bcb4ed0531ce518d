import type { State } from '../../../shared/platform/redis/state.ts'
import { withTestRedis } from '../../support/redis.ts'
import { startedOnce } from '../../support/started.ts'
import { startInference, type TestService } from './service.ts'
import { register, type ToyEngine, toyEngine, type ToyModel } from './toy-models.ts'

export interface ToyService {
  readonly service: TestService
  readonly state: State
  readonly engine: ToyEngine
  readonly redisUrl: string
}

/** One inference service with toy models, for all tests of the file or group it is called in. */
export function withToyService(toys: readonly ToyModel[], env: Record<string, string> = {}): ToyService {
  const engine = toyEngine(toys)
  const redis = withTestRedis()
  const started = startedOnce(
    async () => {
      await register(redis().state, ...toys)
      return startInference(redis().url, { SCISSION_RESOURCE: 'device', ...env }, engine)
    },
    (service) => service.stop(),
  )
  return {
    engine,
    get service() {
      return started()
    },
    get state() {
      return redis().state
    },
    get redisUrl() {
      return redis().url
    },
  }
}
