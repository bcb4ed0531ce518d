/**
 * Runs a foreign program that must not outlive this process. Node children detect a dead parent through their IPC channel;
 * for a foreign program a small shell holds the other end of a pipe. If the pipe ends, because this process closed it or
 * was killed, the shell sends SIGTERM to the program.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { howEnded } from '../processes/process.ts'
import { Output } from '../processes/output.ts'
import type { Logger } from '../../../shared/platform/log.ts'

/**
 * $@ is the program. The only line on standard output is its process id; the program's output goes to standard error.
 * `read` and `kill` are shell built-ins: the watcher is a single process and leaves none behind.
 */
const GUARD = `
exec 3<&0
"$@" </dev/null >&2 3<&- &
program=$!
echo "$program"
( read -r end <&3; kill "$program" ) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$program"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`

export class GuardedProgram {
  /** Resolves after the program has ended, to a text that says how. Never rejects. */
  readonly ended: Promise<string>
  /** Process id of the program, not of the shell. Never resolves if the program could not be started. */
  readonly pid: Promise<number>
  readonly #name: string
  readonly #log: Logger
  readonly #guard: ChildProcess
  readonly #output: Output
  #stopping = false
  #hasEnded = false

  constructor(name: string, command: string, args: readonly string[], log: Logger) {
    this.#name = name
    this.#log = log
    this.#output = new Output(name, undefined, log)
    this.#guard = spawn('/bin/sh', ['-c', GUARD, 'guard', command, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // A process group of its own: Ctrl-C on the terminal reaches only the parent, which stops this program last.
      detached: true,
    })
    // The shell may end before its pipe is closed; `ended` reports it.
    this.#guard.stdin?.on('error', () => undefined)
    if (this.#guard.stderr) this.#output.read(this.#guard.stderr)
    this.pid = this.#readPid()
    this.ended = this.#whenEnded()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** The last lines of output, oldest first. */
  lastLines(): string[] {
    return this.#output.lastLines()
  }

  /** Sends SIGTERM, and SIGKILL after `graceMs`. Resolves after the program has ended. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    this.#guard.stdin?.end()
    const timer = setTimeout(() => this.#kill(), graceMs)
    await this.ended
    clearTimeout(timer)
  }

  async #readPid(): Promise<number> {
    if (!this.#guard.stdout) throw new Error('the guard was started without a standard output')
    const [line] = (await once(createInterface({ input: this.#guard.stdout }), 'line')) as [string]
    return Number(line)
  }

  #whenEnded(): Promise<string> {
    return new Promise((resolve) => {
      this.#guard.once('error', (error) => {
        this.#hasEnded = true
        resolve(`could not be started: ${error.message}`)
      })
      // `close` comes after `exit`: by then the last lines have been read.
      this.#guard.once('close', (code, signal) => {
        const how = howEnded({ code, signal })
        this.#hasEnded = true
        if (!this.#stopping) this.#log.debug(`${this.#name} ${how}`)
        resolve(how)
      })
    })
  }

  #kill(): void {
    if (this.#guard.pid === undefined) return
    this.#log.warn(`${this.#name} has not stopped: killed`)
    process.kill(-this.#guard.pid, 'SIGKILL')
  }
}
