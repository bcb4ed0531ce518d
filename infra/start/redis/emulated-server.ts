/**
 * The third choice: js-redis-server, a Redis written in TypeScript, as a child process. It needs no installation and keeps
 * nothing on disk.
 */
import type { Logger } from '../../../shared/platform/log.ts'
import { startProcess } from '../processes/process.ts'
import type { OpenRedis } from './open-redis.ts'
import { askServer } from './server-facts.ts'

export async function startEmulatedRedis(log: Logger): Promise<OpenRedis> {
  const server = await startProcess({
    name: 'redis (emulated)',
    entry: new URL('./emulated.ts', import.meta.url),
    log,
    stopGraceMs: 1000,
  })
  const { product } = await askServer(server.url)
  return {
    url: server.url,
    kind: 'emulated',
    description:
      `emulated by ${product}: slower than a real one, and its data ends with it. ` +
      'Install redis-server or set REDIS_URL',
    pid: server.pid,
    close: async () => {
      await server.stop()
    },
  }
}
