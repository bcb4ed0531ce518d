/** Runs a real server for this system alone, on a free port of 127.0.0.1, with a password that only its services know. */
import { mkdirSync } from 'node:fs'
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import { OWN_FOLDER } from '../../../shared/platform/make-folder.ts'
import { freePorts } from '../ports.ts'
import { howEnded, ManagedProcess } from '../processes/process.ts'
import { claimDataDir, noteDataDir, refuseUsedDataDir, releaseDataDir } from './data-dir.ts'
import { withNewPassword } from './local-server.ts'
import type { OpenRedis, RedisNeeds } from './open-redis.ts'
import { askServer } from './server-facts.ts'

type Needs = Pick<RedisNeeds, 'log' | 'supervise'>

const PORT_ATTEMPTS = 5
const STOP_GRACE_MS = 5000

/** What `private.ts` reports beside its URL. */
const Report = z.looseObject({ serverPid: z.number() })
const serverPidOf = ({ readyMessage }: { readyMessage: unknown }) =>
  Report.safeParse(readyMessage).data?.serverPid

/**
 * @param command a valkey-server or redis-server. @param dataDir absolute; without it nothing is kept.
 * @throws ScissionError conflict if another system uses `dataDir`; internal if it cannot be started, with its last lines.
 */
export async function startPrivateRedis(
  command: string,
  dataDir: string | undefined,
  needs: Needs,
): Promise<OpenRedis> {
  if (dataDir === undefined) return openPrivate(command, dataDir, needs)
  mkdirSync(dataDir, { recursive: true, mode: OWN_FOLDER })
  const giveBack = claimDataDir(dataDir)
  try {
    await refuseUsedDataDir(dataDir)
    return await openPrivate(command, dataDir, needs)
  } finally {
    giveBack()
  }
}

/** Notes in its data folder, if it has one, that the server uses it. */
async function openPrivate(command: string, dataDir: string | undefined, needs: Needs): Promise<OpenRedis> {
  const { first, options } = await startOnFreePort(command, dataDir, needs.log)
  const { url } = first
  const note = (process: { readyMessage: unknown }) => {
    const pid = serverPidOf(process)
    if (dataDir !== undefined && pid !== undefined) noteDataDir(dataDir, url, pid)
  }
  const server = needs.supervise?.(first, options, { onReady: note }) ?? first
  note(server)
  const { product } = await askServer(url)
  const keeps = dataDir === undefined ? 'in memory only' : `kept in ${dataDir}`
  return {
    url,
    kind: 'private',
    description: `${product} started for this system at ${hidePasswordOf(url)}, ${keeps}`,
    get pid() {
      return serverPidOf(server)
    },
    close: async () => {
      const pid = serverPidOf(server)
      await server.stop()
      if (dataDir !== undefined && pid !== undefined) releaseDataDir(dataDir, url, pid)
    },
  }
}

/**
 * A port is chosen here and bound by the server, so another program may take it in between. Then the server ends with
 * "address already in use", and another port is tried.
 */
async function startOnFreePort(command: string, dataDir: string | undefined, log: Needs['log']) {
  for (let attempt = 1; ; attempt += 1) {
    const [port] = await freePorts(1)
    const options = {
      name: 'the private Redis',
      entry: new URL('./private.ts', import.meta.url),
      args: [command, String(port), ...(dataDir === undefined ? [] : [dataDir])],
      env: withNewPassword(),
      stopGraceMs: STOP_GRACE_MS,
    }
    const first = new ManagedProcess({ ...options, log })
    try {
      await first.whenReady()
      return { first, options }
    } catch {
      const exit = await first.exited
      const { lastLines } = exit
      if (attempt < PORT_ATTEMPTS && lastLines.some((line) => /address already in use/i.test(line))) continue
      throw new ScissionError(
        'internal',
        `${command} ${howEnded(exit)}; its last lines:\n${lastLines.join('\n')}`,
      )
    }
  }
}
