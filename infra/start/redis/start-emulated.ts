/** Starts js-redis-server, a Redis written in TypeScript. It needs no installation and keeps nothing on disk. */
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import { startProcess } from '../processes/process.ts'
import { withNewPassword } from './local-server.ts'
import type { OpenRedis, RedisNeeds } from './open-redis.ts'
import { askServer } from './server-facts.ts'

const STOP_GRACE_MS = 1000

/** @throws ScissionError internal if it does not start. */
export async function startEmulatedRedis({
  log,
  supervise,
}: Pick<RedisNeeds, 'log' | 'supervise'>): Promise<OpenRedis> {
  const options = {
    name: 'redis (emulated)',
    entry: new URL('./emulated.ts', import.meta.url),
    env: withNewPassword(),
    stopGraceMs: STOP_GRACE_MS,
  }
  const first = await startProcess({ ...options, log })
  const { url } = first
  const server = supervise?.(first, options, { args: () => [new URL(url).port] }) ?? first
  const { product } = await askServer(url)
  return {
    url,
    kind: 'emulated',
    description:
      `emulated by ${product} at ${hidePasswordOf(url)}: slower than a real one, and its data ends with it. ` +
      'Install redis-server or set REDIS_URL',
    get pid() {
      return server.pid
    },
    close: async () => void (await server.stop()),
  }
}
