/**
 * Runs a program that knows nothing of us and must not outlive us. Our Node children notice a dead parent by
 * their IPC channel; for a foreign program a small shell holds the other end of a pipe instead. When the pipe
 * ends, because we closed it or were killed in whatever way, the shell sends SIGTERM to the program.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { howEnded } from '../processes/process.ts'
import { Output } from '../processes/output.ts'
import type { Logger } from '../../../shared/platform/log.ts'

/**
 * $@ is the program. Its process id is the only line on standard output; what it prints goes to standard
 * error. `read` and `kill` are built into the shell: the watcher is one process and leaves none behind.
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
  /** Resolves when the program has ended, to words on how. Never rejects. */
  readonly ended: Promise<string>
  /** The program's own, not the shell's. Never resolves when it could not be started. */
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
      // A group of its own: Ctrl-C at the terminal is for its parent, which stops it last.
      detached: true,
    })
    // The shell may be gone before its pipe is closed; `ended` tells.
    this.#guard.stdin?.on('error', () => undefined)
    if (this.#guard.stderr) this.#output.read(this.#guard.stderr)
    this.pid = this.#readPid()
    this.ended = this.#whenEnded()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** The last lines it printed, oldest first. */
  lastLines(): string[] {
    return this.#output.lastLines()
  }

  /** SIGTERM, after `graceMs` SIGKILL; returns when it has ended. */
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
      // `close`, not `exit`: the last lines have been read by then.
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
