/** A real Redis that writes all it is told to an append-only file, and that can be killed and started again. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { GuardedProgram } from '../../infra/start/redis/guarded.ts'
import { askServer } from '../../infra/start/redis/server-facts.ts'
import { createLog } from '../../shared/platform/log.ts'

export const REAL_SERVER = findOnPath('valkey-server') ?? findOnPath('redis-server')

const log = createLog('test', 'silent')
const ANSWER_MS = 10_000
const STOP_GRACE_MS = 2000

export class PersistentRedis {
  readonly url: string
  readonly #port: number
  readonly #folder: string
  #program: GuardedProgram

  private constructor(port: number, folder: string) {
    this.#port = port
    this.#folder = folder
    this.url = `redis://127.0.0.1:${port}`
    this.#program = this.#run()
  }

  static async start(): Promise<PersistentRedis> {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    server.close()
    await once(server, 'close')
    const redis = new PersistentRedis(port, mkdtempSync(path.join(os.tmpdir(), 'scission-redis-')))
    await redis.#untilAnswering()
    return redis
  }

  /** SIGKILL: it gets no chance to put anything in order. */
  async kill(): Promise<void> {
    process.kill(await this.#program.pid, 'SIGKILL')
    await this.#program.ended
  }

  /** On the same port, with what it has written. */
  async startAgain(): Promise<void> {
    this.#program = this.#run()
    await this.#untilAnswering()
  }

  async close(): Promise<void> {
    await this.#program.stop(STOP_GRACE_MS)
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #run(): GuardedProgram {
    if (REAL_SERVER === undefined) throw new Error('no valkey-server or redis-server on the PATH')
    const settings = { bind: '127.0.0.1', port: this.#port, save: '', appendonly: 'yes', dir: this.#folder }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
    return new GuardedProgram('redis', REAL_SERVER, args, log)
  }

  async #untilAnswering(): Promise<void> {
    const until = Date.now() + ANSWER_MS
    for (;;) {
      const facts = await askServer(this.url).catch((error: Error) => error)
      if (!(facts instanceof Error)) return
      if (this.#program.hasEnded || Date.now() > until)
        throw new Error(
          `the Redis does not answer: ${facts.message}; ${this.#program.lastLines().join('\n')}`,
        )
    }
  }
}
