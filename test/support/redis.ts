/** A Redis for one test file: the emulated one, always there; a real one only if a test asks for it. */
import { openRedis } from '../../infra/start/redis/open-redis.ts'
import { createLog } from '../../shared/platform/log.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { startedOnce } from './started.ts'

export interface TestRedis {
  url: string
  /** Its documents, over a connection of the test's own. */
  state: State
  /** The same over another connection, as another process has it. */
  openState: () => State
  /** Closes the connections too. */
  close: () => Promise<void>
}

/** The URL of the same Redis through a relay on another port of this machine: it has the password of the first. */
export function throughPort(redisUrl: string, port: number | undefined): string {
  const url = new URL(redisUrl)
  url.port = String(port)
  return url.href
}

/** An emulated Redis of its own, whatever the environment and the PATH offer. */
export async function startTestRedis(): Promise<TestRedis> {
  const log = createLog('test', 'silent')
  const { url, close } = await openRedis({ log, env: { PATH: '' } })
  const states: State[] = []
  const openAnother = () => {
    const state = openState(workerConnection(url, log))
    states.push(state)
    return state
  }
  return {
    url,
    state: openAnother(),
    openState: openAnother,
    close: async () => {
      for (const { redis } of states) redis.disconnect()
      await close()
    },
  }
}

/** One for all tests of the file or group in which it is called. */
export const withTestRedis = (): (() => TestRedis) => startedOnce(startTestRedis, (redis) => redis.close())
