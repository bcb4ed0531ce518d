/** One machine of a lab: processes that run on it, and requests that it sends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { nodeArguments } from '../../infra/start/processes/entry.ts'
import { Output } from '../../infra/start/processes/output.ts'
import { createLog } from '../../shared/platform/log.ts'
import { type Ran, SCISSION } from '../support/command.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import type { Lab } from './lab.ts'

const log = createLog('test', 'error')
const ASK = fileURLToPath(new URL('entries/ask.mjs', import.meta.url))

type Service = 'benchmark' | 'planner' | 'inference'

export interface Request {
  url: string
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  headers?: Record<string, string>
  body?: string | Uint8Array
}

export interface Answer {
  status: number
  headers: Record<string, string>
  bytes: Uint8Array
  tookMs: number
}

/** A process on a machine. */
export interface Running {
  /** Its last lines, to ask what it said. */
  lines: () => string[]
  /** The exit code, once it has ended. */
  exited: Promise<number | null>
  signal: (signal: NodeJS.Signals) => void
  /** SIGTERM, and waits until it has ended. */
  stop: () => Promise<void>
}

export class Machine {
  readonly name: string
  readonly address: string
  readonly #lab: Lab
  readonly #folder: string
  readonly #running: Running[] = []
  readonly #waiting = new Map<number, (answer: Answer | Error) => void>()
  #asker: ChildProcess | undefined
  #asked = 0

  /** @param folder for the files of this machine alone. */
  constructor(lab: Lab, name: string, folder: string) {
    this.name = name
    this.address = lab.addressOf(name)
    this.#lab = lab
    this.#folder = path.join(folder, name)
    mkdirSync(this.#folder, { recursive: true })
  }

  /** A command that goes on. */
  run(command: readonly string[], env: Record<string, string> = {}): Running & { child: ChildProcess } {
    const [program, args] = this.#lab.on(this.name, ...command)
    const child = spawn(program, args, {
      env: { ...process.env, SCISSION_DATA: this.#folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'json',
    })
    const output = new Output(this.name, path.join(this.#folder, 'log'), log)
    if (child.stdout) output.read(child.stdout)
    if (child.stderr) output.read(child.stderr)
    const exited = once(child, 'close').then(([code]) => code as number | null)
    const signal = (name: NodeJS.Signals) => void child.kill(name)
    const stop = async () => {
      signal('SIGTERM')
      await exited
      output.close()
    }
    const running = { lines: () => output.lastLines(), exited, signal, stop, child }
    this.#running.push(running)
    return running
  }

  /** A service that is not waited for. */
  runService(service: Service, env: Record<string, string>): Running & { child: ChildProcess } {
    const entry = new URL(`../../services/${service}/main.ts`, import.meta.url)
    return this.run([process.execPath, ...nodeArguments(entry)], env)
  }

  /**
   * Starts a service as its guide says, and waits until it listens.
   * @throws Error with its last lines if it ends before.
   */
  async startService(service: Service, env: Record<string, string>): Promise<Running> {
    const running = this.runService(service, env)
    const listening = once(running.child, 'message').then(() => 'listening' as const)
    if ((await Promise.race([listening, running.exited])) === 'listening') return running
    throw new Error(`${service} on ${this.name} ended:\n${running.lines().join('\n')}`)
  }

  /** A command of the command line, to its end. */
  async scission(args: readonly string[], env: Record<string, string>): Promise<Ran> {
    const [program, words] = this.#lab.on(this.name, process.execPath, SCISSION, ...args)
    const child = spawn(program, words, {
      env: { ...process.env, SCISSION_DATA: this.#folder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = once(child, 'close') as Promise<[Ran['code'], Ran['signal']]>
    const [stdout, stderr, [code, signal]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      ended,
    ])
    return { code, signal, stdout, stderr }
  }

  /** Sends a request from here. @throws Error if there is no answer. */
  async ask({ url, method = 'GET', headers = {}, body }: Request): Promise<Answer> {
    this.#asker ??= await this.#startAsker()
    const id = ++this.#asked
    const answer = new Promise<Answer | Error>((resolve) => this.#waiting.set(id, resolve))
    this.#asker.send({ id, url, method, headers, body, timeoutMs: PATIENCE_MS })
    const given = await answer
    if (given instanceof Error) throw given
    return given
  }

  async #startAsker(): Promise<ChildProcess> {
    const [program, args] = this.#lab.on(this.name, process.execPath, ASK)
    const child = spawn(program, args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    child.on('message', (message) => {
      const { id, failed, ...answer } = message as Answer & { id?: number; failed?: string }
      if (id === undefined) return
      const resolve = this.#waiting.get(id)
      this.#waiting.delete(id)
      resolve?.(failed === undefined ? answer : new Error(`${this.name} got no answer: ${failed}`))
    })
    await once(child, 'message')
    return child
  }

  /** Ends what runs on it, the last one first. */
  async close(): Promise<void> {
    this.#asker?.disconnect()
    for (const running of this.#running.toReversed()) await running.stop()
  }
}
