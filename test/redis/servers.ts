/**
 * The Redis servers that a test can run against here: the emulated one always, a real one when there is one.
 */
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { type OpenRedis, openRedis } from '../../infra/start/redis/open-redis.ts'
import { createLog } from '../../shared/platform/log.ts'

const log = createLog('test', 'silent')

export interface TestServer {
  name: string
  open: () => Promise<OpenRedis>
}

const emulated: TestServer = { name: 'the emulated Redis', open: () => openRedis({ log, env: { PATH: '' } }) }

function realServer(): TestServer | undefined {
  const { REDIS_URL, PATH } = process.env
  if (REDIS_URL) return { name: 'the Redis of REDIS_URL', open: () => openRedis({ log, env: { REDIS_URL } }) }
  const command = findOnPath('valkey-server') ?? findOnPath('redis-server')
  if (command === undefined) return undefined
  return { name: 'a real Redis of our own', open: () => openRedis({ log, env: { PATH } }) }
}

const real = realServer()
if (!real) console.log('skipped: no valkey-server or redis-server on the PATH and no REDIS_URL')

/** With the real one first told as skipped when there is none. */
export const TEST_SERVERS: (TestServer & { skip: boolean })[] = [
  { ...emulated, skip: false },
  real ? { ...real, skip: false } : { name: 'a real Redis (none here)', open: emulated.open, skip: true },
]
