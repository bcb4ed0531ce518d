/** A real Redis that writes all it is told to an append-only file, and that can be killed and started again. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { freePorts } from '../../infra/start/ports.ts'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import { withNewPassword } from '../../infra/start/redis/local-server.ts'
import { askServer } from '../../infra/start/redis/server-facts.ts'
import { createLog } from '../../shared/platform/log.ts'

export const REAL_SERVER = findOnPath('valkey-server') ?? findOnPath('redis-server')

/** Folder of the files in which it keeps its writes. */
const APPEND_ONLY = 'appendonlydir'

const log = createLog('test', 'silent')

export class PersistentRedis {
  readonly #port: number
  readonly #folder: string
  readonly #env: Record<string, string>
  #server: ManagedProcess

  private constructor(port: number, folder: string, env: Record<string, string>, server: ManagedProcess) {
    this.#port = port
    this.#env = env
    this.#folder = folder
    this.#server = server
  }

  static async start(): Promise<PersistentRedis> {
    const [port = 0] = await freePorts(1)
    const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-redis-'))
    const env = withNewPassword()
    return new PersistentRedis(port, folder, env, await runServer(port, folder, env))
  }

  get url(): string {
    return this.#server.url
  }

  /** SIGKILL: it gets no chance to put anything in order. */
  async kill(): Promise<void> {
    const { processId } = await askServer(this.url)
    process.kill(processId, 'SIGKILL')
    await this.#server.exited
  }

  /** Copies what it has written so far. @returns the folder of the copy. */
  snapshot(): string {
    const copy = path.join(this.#folder, `snapshot-${performance.now()}`)
    cpSync(path.join(this.#folder, APPEND_ONLY), copy, { recursive: true })
    return copy
  }

  /** On the same port, with what it has written. @param snapshot with that instead, as after a crash. */
  async startAgain(snapshot?: string): Promise<void> {
    if (snapshot !== undefined) {
      rmSync(path.join(this.#folder, APPEND_ONLY), { recursive: true })
      cpSync(snapshot, path.join(this.#folder, APPEND_ONLY), { recursive: true })
    }
    this.#server = await runServer(this.#port, this.#folder, this.#env)
  }

  async close(): Promise<void> {
    await this.#server.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function runServer(port: number, folder: string, env: Record<string, string>): Promise<ManagedProcess> {
  if (REAL_SERVER === undefined) throw new Error('no valkey-server or redis-server on the PATH')
  const entry = new URL('../../infra/start/redis/private.ts', import.meta.url)
  return startProcess({
    name: 'redis',
    entry,
    args: [REAL_SERVER, String(port), folder],
    env,
    log,
    stopGraceMs: 2000,
  })
}
