/** A Redis for one test file: the emulated one, always there; a real one only where a test asks for it. */
import { openRedis } from '../../infra/start/redis/open-redis.ts'
import { createLog } from '../../shared/platform/log.ts'

export interface TestRedis {
  url: string
  close: () => Promise<void>
}

/** An emulated Redis of its own, whatever the environment and the PATH offer. */
export async function startTestRedis(): Promise<TestRedis> {
  const { url, close } = await openRedis({ log: createLog('test', 'silent'), env: { PATH: '' } })
  return { url, close }
}
