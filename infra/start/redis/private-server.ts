/**
 * The second choice: a real server found on the PATH, run for this system alone on a free port of 127.0.0.1.
 *
 * A port is chosen here and bound by the server, so another program may take it in between. Then the server ends with
 * "address already in use", and another port is tried. The process id in its answer proves that the server that answers is
 * the one that was started here.
 */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { noteDataDir, refuseUsedDataDir, releaseDataDir } from './data-dir.ts'
import { GuardedProgram } from './guarded.ts'
import type { OpenRedis } from './open-redis.ts'
import { askServer, type ServerFacts } from './server-facts.ts'

export interface PrivateRedisNeeds {
  /** Path of valkey-server or redis-server. */
  command: string
  /** Folder of the append-only file, created if missing; without it nothing is written. */
  dataDir?: string | undefined
  log: Logger
}

const PORT_ATTEMPTS = 5
/** A server usually answers after 0.1 s, but it reads a large append-only file first. */
const ANSWER_TIMEOUT_MS = 60_000
const ASK_EVERY_MS = 20
const STOP_GRACE_MS = 5000

/**
 * @throws ScissionError conflict if `dataDir` is in use; internal with the server's last lines if it does not start.
 */
export async function startPrivateRedis(needs: PrivateRedisNeeds): Promise<OpenRedis> {
  const dataDir = needs.dataDir === undefined ? undefined : path.resolve(needs.dataDir)
  if (dataDir !== undefined) {
    mkdirSync(dataDir, { recursive: true })
    await refuseUsedDataDir(dataDir)
  }
  const { program, url, facts } = await startOnFreePort({ ...needs, dataDir })
  if (dataDir !== undefined) noteDataDir(dataDir, url, facts.processId)
  let closing = false
  void program.ended.then((how) => {
    if (closing) return
    needs.log.error(`the private Redis ${how}; its last lines:\n${program.lastLines().join('\n')}`)
  })
  const keeps = dataDir === undefined ? 'in memory only' : `kept in ${dataDir}`
  return {
    url,
    kind: 'private',
    description: `${facts.product} started for this system at ${url}, ${keeps}`,
    pid: facts.processId,
    close: async () => {
      closing = true
      await program.stop(STOP_GRACE_MS)
      if (dataDir !== undefined) releaseDataDir(dataDir)
    },
  }
}

interface Started {
  program: GuardedProgram
  url: string
  facts: ServerFacts
}

async function startOnFreePort({ command, dataDir, log }: PrivateRedisNeeds): Promise<Started> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort()
    const url = `redis://127.0.0.1:${port}`
    const program = new GuardedProgram('redis', command, serverArguments(port, dataDir), log)
    const outcome = await Promise.race([untilAnswering(program, url), program.ended])
    if (typeof outcome === 'object') return { program, url, facts: outcome }
    const lines = program.lastLines()
    if (attempt < PORT_ATTEMPTS && lines.some((line) => /address already in use/i.test(line))) continue
    throw new ScissionError('internal', `${command} ${outcome}; its last lines:\n${lines.join('\n')}`)
  }
}

function serverArguments(port: number, dataDir: string | undefined): string[] {
  const settings: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(port),
    daemonize: 'no',
    // No snapshots: if data has to be kept, the append-only file keeps it.
    save: '',
    appendonly: dataDir === undefined ? 'no' : 'yes',
    dir: dataDir ?? os.tmpdir(),
    // BullMQ requires this: jobs must not be evicted when memory is short.
    'maxmemory-policy': 'noeviction',
  }
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
}

/** Resolves to the server's facts, or to a text if it does not answer in time; then it is stopped. */
async function untilAnswering(program: GuardedProgram, url: string): Promise<ServerFacts | string> {
  const pid = await program.pid
  const deadline = Date.now() + ANSWER_TIMEOUT_MS
  while (Date.now() < deadline && !program.hasEnded) {
    // Refused or still loading: ask again. Another process id: that is a foreign server, and this one is about to end.
    const facts = await askServer(url).catch(() => undefined)
    if (facts?.processId === pid) return facts
    await sleep(ASK_EVERY_MS)
  }
  await program.stop(STOP_GRACE_MS)
  return `has not answered in ${ANSWER_TIMEOUT_MS} ms`
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port')
  return address.port
}
