/**
 * Opens a Redis for the system. It takes the first of these that is available:
 *
 *   1. REDIS_URL                               a running server: used, never stopped
 *   2. valkey-server or redis-server on PATH   a private server, started and stopped with the system
 *   3. neither                                 the emulated one (js-redis-server), in a process of its own
 *
 * The choice is logged once and passed to services as SCISSION_REDIS_KIND, so that /healthz and every report name it. On the
 * emulated Redis queues behave the same but are slower, and nothing survives its process.
 */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { freePorts } from '../ports.ts'
import { findOnPath } from '../processes/find-on-path.ts'
import { howEnded, ManagedProcess, startProcess } from '../processes/process.ts'
import { claimDataDir, noteDataDir, refuseUsedDataDir, releaseDataDir } from './data-dir.ts'
import { askServer } from './server-facts.ts'

export interface OpenRedis {
  url: string
  kind: 'external' | 'private' | 'emulated'
  /** One line for people: product, version, address, and whether data is kept on disk. */
  description: string
  /** Process id of the server, if this system started it. */
  pid?: number | undefined
  /** Stops the server, if this system started it. */
  close: () => Promise<void>
}

export interface RedisNeeds {
  /** Data folder of a private server, created if missing; without it data is in memory only. */
  dataDir?: string | undefined
  log: Logger
  /** Environment; only REDIS_URL, SCISSION_REDIS_KIND and PATH are read. */
  env: NodeJS.ProcessEnv
}

const SERVERS = ['valkey-server', 'redis-server']
const PORT_ATTEMPTS = 5
const PRIVATE_STOP_GRACE_MS = 5000
const EMULATED_STOP_GRACE_MS = 1000

/**
 * @throws ScissionError badRequest or queueUnavailable if REDIS_URL is wrong or does not answer (no other choice is tried,
 * because this one was asked for); conflict if another system uses `dataDir`; internal if a server cannot be started, with
 * its last lines.
 */
export async function openRedis(needs: RedisNeeds): Promise<OpenRedis> {
  const redis = await firstAvailable(needs)
  needs.log.info({ redis: redis.kind }, `Redis: ${redis.description}`)
  return redis
}

function firstAvailable({ dataDir, log, env }: RedisNeeds): Promise<OpenRedis> {
  if (env.REDIS_URL) return useExternalRedis(env.REDIS_URL, log, env.SCISSION_REDIS_KIND)
  const command = SERVERS.map((name) => findOnPath(name, env.PATH)).find((found) => found !== undefined)
  if (command === undefined) return startEmulatedRedis(log)
  return startPrivateRedis(command, dataDir === undefined ? undefined : path.resolve(dataDir), log)
}

/** @param saidKind SCISSION_REDIS_KIND, for a system that uses the Redis of another system. */
async function useExternalRedis(url: string, log: Logger, saidKind?: string): Promise<OpenRedis> {
  const shown = hidePasswordOf(url)
  if (!/^rediss?:\/\/./.test(url)) {
    throw new ScissionError('badRequest', `REDIS_URL must look like redis://host:6379, got: ${shown}`)
  }
  const facts = await askServer(url).catch((thrown: unknown) => {
    const { message } = coerceError(thrown)
    throw new ScissionError(
      'queueUnavailable',
      `the Redis of REDIS_URL (${shown}) does not answer: ${message}. Start it, correct REDIS_URL, ` +
        'or unset it to have one started here',
      { url: shown },
      thrown,
    )
  })
  if (facts.maxmemoryPolicy !== undefined && facts.maxmemoryPolicy !== 'noeviction') {
    log.warn(
      `Redis at ${shown} has maxmemory-policy ${facts.maxmemoryPolicy}: it may drop queued jobs when ` +
        'memory is short; set it to noeviction',
    )
  }
  // An emulated Redis counts as emulated even if another system runs it.
  const kind = facts.emulated ? 'emulated' : saidKind === 'private' ? 'private' : 'external'
  const description = `${facts.product} at ${shown} (from REDIS_URL)`
  return { url, kind, description, close: () => Promise.resolve() }
}

/** Runs a real server for this system alone, on a free port of 127.0.0.1. */
async function startPrivateRedis(
  command: string,
  dataDir: string | undefined,
  log: Logger,
): Promise<OpenRedis> {
  if (dataDir === undefined) return describePrivate(await startOnFreePort(command, dataDir, log), dataDir)
  mkdirSync(dataDir, { recursive: true })
  const giveBack = claimDataDir(dataDir)
  try {
    await refuseUsedDataDir(dataDir)
    return await describePrivate(await startOnFreePort(command, dataDir, log), dataDir)
  } finally {
    giveBack()
  }
}

/** Notes in its data folder, if it has one, that the server uses it. */
async function describePrivate(server: ManagedProcess, dataDir: string | undefined): Promise<OpenRedis> {
  const { url } = server
  const { product, processId } = await askServer(url)
  if (dataDir !== undefined) noteDataDir(dataDir, url, processId)
  const keeps = dataDir === undefined ? 'in memory only' : `kept in ${dataDir}`
  return {
    url,
    kind: 'private',
    description: `${product} started for this system at ${url}, ${keeps}`,
    pid: processId,
    close: async () => {
      await server.stop()
      if (dataDir !== undefined) releaseDataDir(dataDir, url, processId)
    },
  }
}

/**
 * A port is chosen here and bound by the server, so another program may take it in between. Then the server ends with
 * "address already in use", and another port is tried.
 */
async function startOnFreePort(
  command: string,
  dataDir: string | undefined,
  log: Logger,
): Promise<ManagedProcess> {
  for (let attempt = 1; ; attempt += 1) {
    const [port] = await freePorts(1)
    const server = new ManagedProcess({
      name: 'the private Redis',
      entry: new URL('./private.ts', import.meta.url),
      args: [command, String(port), ...(dataDir === undefined ? [] : [dataDir])],
      log,
      stopGraceMs: PRIVATE_STOP_GRACE_MS,
    })
    try {
      await server.whenReady()
      return server
    } catch {
      const exit = await server.exited
      const { lastLines } = exit
      if (attempt < PORT_ATTEMPTS && lastLines.some((line) => /address already in use/i.test(line))) continue
      throw new ScissionError(
        'internal',
        `${command} ${howEnded(exit)}; its last lines:\n${lastLines.join('\n')}`,
      )
    }
  }
}

/** js-redis-server is a Redis written in TypeScript. It needs no installation and keeps nothing on disk. */
async function startEmulatedRedis(log: Logger): Promise<OpenRedis> {
  const server = await startProcess({
    name: 'redis (emulated)',
    entry: new URL('./emulated.ts', import.meta.url),
    log,
    stopGraceMs: EMULATED_STOP_GRACE_MS,
  })
  const { url, pid } = server
  const { product } = await askServer(url)
  return {
    url,
    kind: 'emulated',
    description:
      `emulated by ${product} at ${url}: slower than a real one, and its data ends with it. ` +
      'Install redis-server or set REDIS_URL',
    pid,
    close: async () => void (await server.stop()),
  }
}
