/** A Redis that keeps nothing: killed and started again, on the same port, it is empty. */
import { freePorts } from '../../infra/start/ports.ts'
import { type ManagedProcess, startProcess } from '../../infra/start/processes/process.ts'
import { withNewPassword } from '../../infra/start/redis/local-server.ts'
import { createLog } from '../../shared/platform/log.ts'
import { REAL_SERVER } from './persistent-server.ts'

const log = createLog('test', 'silent')

export class ForgetfulRedis {
  readonly #start: () => Promise<ManagedProcess>
  #server: ManagedProcess

  private constructor(start: () => Promise<ManagedProcess>, server: ManagedProcess) {
    this.#start = start
    this.#server = server
  }

  static async start(kind: 'real' | 'emulated'): Promise<ForgetfulRedis> {
    const [port = 0] = await freePorts(1)
    const entry = new URL(
      `../../infra/start/redis/${kind === 'real' ? 'private' : 'emulated'}.ts`,
      import.meta.url,
    )
    const args = kind === 'real' ? [REAL_SERVER ?? '', String(port)] : [String(port)]
    const env = withNewPassword()
    const start = () => startProcess({ name: `redis (${kind})`, entry, args, env, log, stopGraceMs: 2000 })
    return new ForgetfulRedis(start, await start())
  }

  get url(): string {
    return this.#server.url
  }

  async startAgain(): Promise<void> {
    await this.#server.stop()
    this.#server = await this.#start()
  }

  async close(): Promise<void> {
    await this.#server.stop()
  }
}

/** With the real one first told as skipped when there is none. */
export const FORGETFUL = [
  { kind: 'emulated' as const, skip: false },
  { kind: 'real' as const, skip: REAL_SERVER === undefined },
]
if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')
