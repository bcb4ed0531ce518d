/**
 * One child process under supervision, from its start to its end:
 *
 *   spawned ──{ready, url}──▶ ready ──stop()──▶ SIGTERM ──grace──▶ SIGKILL ──▶ exited, expected
 *      └── exits or stays silent: start fails      └── exits by itself: exited, unexpected: logged
 *
 * On POSIX systems the child leads a process group of its own. Ctrl-C on the terminal therefore reaches only the parent,
 * which stops its children in order, and a killed child takes its own children with it. A child detects the death of its
 * parent through the IPC channel (`dieWithParent`, `runService`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { nodeArguments } from './entry.ts'
import { Output } from './output.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'

/**
 * The message by which an entry reports that it is ready (`shared/platform/service/run-service.ts`, `reportReady`). It may
 * hold more.
 */
const Ready = z.looseObject({ ready: z.literal(true), url: z.string() })
type Ready = z.infer<typeof Ready>

export interface ProcessOptions {
  /** Shown in messages and before each line of the log file. */
  name: string
  /** The module to run, as a `.ts` URL: `new URL('../../../services/planner/main.ts', import.meta.url)`. */
  entry: URL
  args?: readonly string[] | undefined
  /** Environment variables in addition to those of this process. */
  env?: Readonly<Record<string, string | undefined>> | undefined
  log: Logger
  /** File that output is appended to; several processes may share it. Without it only the last lines are kept. */
  logFile?: string | undefined
  /** Maximum ms until the process is ready; if it ends before, that is noticed at once. @defaultValue 120000 */
  readyTimeoutMs?: number | undefined
  /** ms between SIGTERM and SIGKILL. @defaultValue 12000, slightly more than services need to close */
  stopGraceMs?: number | undefined
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
  /** True if `stop` ended the process. */
  expected: boolean
  /** The last lines of output, oldest first. */
  lastLines: string[]
}

const READY_TIMEOUT_MS = 120_000
const STOP_GRACE_MS = 12_000
/** Maximum ms to read output that is still in the pipe after a process has ended. A grandchild may keep the pipe open. */
const LAST_OUTPUT_MS = 500

export class ManagedProcess {
  readonly name: string
  /** Resolves after the process has ended, in whatever way. Never rejects. */
  readonly exited: Promise<Exit>
  readonly #options: ProcessOptions
  readonly #child: ChildProcess
  readonly #output: Output
  readonly #ready: Promise<'ready'>
  #readyMessage: Ready | undefined
  #stopping = false

  constructor(options: ProcessOptions) {
    this.name = options.name
    this.#options = options
    this.#output = new Output(options.name, options.logFile, options.log)
    this.#child = spawn(process.execPath, [...nodeArguments(options.entry), ...(options.args ?? [])], {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: process.platform !== 'win32',
    })
    if (this.#child.stdout) this.#output.read(this.#child.stdout)
    if (this.#child.stderr) this.#output.read(this.#child.stderr)
    this.#ready = this.#untilReported()
    this.exited = this.#whenExited()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** The message by which the process reported that it is ready; undefined until then. */
  get readyMessage(): Ready | undefined {
    return this.#readyMessage
  }

  /** The URL that the process reported; empty until it is ready. */
  get url(): string {
    return this.#readyMessage?.url ?? ''
  }

  /**
   * Waits for the ready message. A process that does not send it in time is stopped.
   * @throws ScissionError internal with the last lines of its output.
   */
  async whenReady(): Promise<void> {
    const patience = this.#options.readyTimeoutMs ?? READY_TIMEOUT_MS
    const verdict = await waitAtMost(Promise.race([this.#ready, this.exited]), patience, 'silent' as const)
    if (verdict === 'ready') return
    const what =
      verdict === 'silent' ? `was not ready after ${patience} ms` : `${howEnded(verdict)} before it was ready`
    await this.stop()
    throw new ScissionError('internal', `${this.name} ${what}${lastLinesText(this.#output.lastLines())}`)
  }

  /** Sends a message to the child's `process.on('message')`. It is dropped if the child has ended. */
  send(message: Record<string, unknown>): void {
    if (this.#child.connected) this.#child.send(message, () => undefined)
  }

  /** @returns a function that removes the listener. */
  onMessage(listener: (message: unknown) => void): () => void {
    this.#child.on('message', listener)
    return () => this.#child.off('message', listener)
  }

  /** Sends SIGTERM, and SIGKILL after the grace period. Resolves after the process has ended. */
  async stop(): Promise<Exit> {
    this.#stopping = true
    this.#child.kill('SIGTERM')
    const grace = this.#options.stopGraceMs ?? STOP_GRACE_MS
    const timer = setTimeout(() => {
      this.#options.log.warn(`${this.name} has not stopped in ${grace} ms: killed`)
      this.#killGroup()
    }, grace)
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }

  #untilReported(): Promise<'ready'> {
    return new Promise((resolve) => {
      this.#child.on('message', (message) => {
        const ready = Ready.safeParse(message)
        if (!ready.success) return
        this.#readyMessage ??= ready.data
        resolve('ready')
      })
    })
  }

  async #whenExited(): Promise<Exit> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve))
    const { code, signal } = await new Promise<Pick<Exit, 'code' | 'signal'>>((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }))
      this.#child.once('error', (error) => {
        this.#options.log.error({ err: error }, `${this.name} could not be started: ${error.message}`)
        if (this.#child.pid === undefined) resolve({ code: null, signal: null })
      })
    })
    this.#killGroup()
    await waitAtMost(closed, LAST_OUTPUT_MS, undefined)
    const exit = { code, signal, expected: this.#stopping, lastLines: this.#output.lastLines() }
    this.#output.close()
    if (this.#readyMessage && !exit.expected)
      this.#options.log.error(`${this.name} ${howEnded(exit)}${lastLinesText(exit.lastLines)}`)
    return exit
  }

  /** Kills the child and all processes that it started. */
  #killGroup(): void {
    if (this.#child.pid === undefined) return
    try {
      if (process.platform === 'win32') this.#child.kill('SIGKILL')
      else process.kill(-this.#child.pid, 'SIGKILL')
    } catch (thrown) {
      // ESRCH: no process of the group is left.
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ESRCH')) throw thrown
    }
  }
}

/** "ended with code 1", "was ended by SIGKILL". */
export function howEnded({ code, signal }: Pick<Exit, 'code' | 'signal'>): string {
  if (signal !== null) return `was ended by ${signal}`
  return code === null ? 'could not be started' : `ended with code ${code}`
}

function lastLinesText(lines: readonly string[]): string {
  return lines.length === 0
    ? '; it printed nothing'
    : `; its last lines:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

/**
 * Starts a process and waits until it is ready.
 * @throws ScissionError internal if it ends or does not become ready; then nothing is left running.
 */
export async function startProcess(options: ProcessOptions): Promise<ManagedProcess> {
  const started = new ManagedProcess(options)
  await started.whenReady()
  return started
}
