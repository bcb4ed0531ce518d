/**
 * Runs one function of a module in a throw-away process with a time and a memory limit, for work that may crash its
 * process: ONNX Runtime on a model from a stranger, benchmarks. The module exports
 *
 *   export async function run(input: I, report: (progress: P) => void): Promise<O>
 *
 * Input, progress and output cross by structured clone: typed arrays and BigInts are fine. A ScissionError thrown by
 * `run` arrives with its code, message and details. The child ends with its parent.
 *
 * The memory limit is on the pages that the process holds for itself (resident minus shared with files), read every
 * 25 ms from /proc. Systems without /proc (other than Linux) have the time limit only.
 */
import { withoutSecrets } from './child-env.ts'
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { compiledModule, withLoader } from './child-module.ts'
import { coerceError, type ErrorCode, ScissionError } from '../errors.ts'
import { watchPatience } from '../deadline.ts'
import { isMemoryKnown, ownBytesOf } from './own-memory.ts'
import { giveWay } from './priority.ts'

const MEMORY_POLL_MS = 25
/** Characters of the child's standard error, from its end, that error details quote. */
const MAX_STDERR_CHARS = 2000

export interface LimitedChildOptions<I, P> {
  /** `new URL('./my-job.ts', import.meta.url)`; the extension is adapted when the code was compiled. */
  module: URL
  input: I
  timeoutMs: number
  memoryLimitBytes: number
  /** Aborting kills the child. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: P) => void) | undefined
  /** Activity of the child in error messages: "ONNX Runtime … while <doing>". @defaultValue 'working' */
  doing?: string | undefined
  env?: NodeJS.ProcessEnv | undefined
  /** Of priority.ts, for work that nobody waits for. @defaultValue that of this process */
  priority?: number | undefined
  /** Called with the child's process id after it has ended, for any reason. */
  onEnd?: ((pid: number) => void) | undefined
}

/** A message from the child to its parent. */
export type ChildMessage =
  | { kind: 'ready' }
  | { kind: 'progress'; progress: unknown }
  | { kind: 'output'; output: unknown }
  | { kind: 'error'; message: string; code?: ErrorCode; details?: Record<string, unknown>; stack?: string }

/**
 * Runs the module's `run` with the input. @returns its output.
 * @throws the ScissionError that `run` threw; invalidModel if the child crashed, took too long or too much memory
 * (`details.reason`: crash, timeout or memory); cancelled if the signal was aborted.
 */
export async function runInLimitedChild<I, O, P = unknown>(options: LimitedChildOptions<I, P>): Promise<O> {
  if (options.signal?.aborted) throw cancelled()
  const child = start(options)
  // Before it starts threads, which inherit it.
  if (options.priority !== undefined && child.pid !== undefined) giveWay(options.priority, child.pid)
  const stderr = tailOf(child)
  let resolve: (output: O) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const result = new Promise<O>((...settle) => ([resolve, reject] = settle))
  const doing = options.doing ?? 'working'
  const fail = (reason: string, message: string, details = {}) =>
    reject(new ScissionError('invalidModel', message, { reason, ...details }))
  const take = (message: ChildMessage) => {
    if (message.kind === 'ready') child.send({ input: options.input })
    else if (message.kind === 'progress') options.onProgress?.(message.progress as P)
    // The module declares the type; the child's message is not checked against it.
    else if (message.kind === 'output') resolve(message.output as O)
    else reject(thrownInChild(message))
  }
  child.on('message', (message: ChildMessage) => {
    try {
      take(message)
    } catch (thrown) {
      // Input that cannot be cloned, or an error of `onProgress`: nobody else would catch it.
      reject(coerceError(thrown))
    }
  })
  child.on('error', reject)
  const ended = new Promise<void>((done) => {
    child.on('exit', (code, signal) => {
      const error = stderr()
      if (signal) fail('crash', `ONNX Runtime crashed (${signal}) while ${doing}`, { signal, stderr: error })
      else reject(new Error(`the process for ${doing} ended with code ${code}${error ? `: ${error}` : ''}`))
      done()
    })
  })
  const patience = { signal: options.signal, deadline: performance.now() + options.timeoutMs }
  const stopWatching = watchPatience(patience, (why) =>
    why === 'aborted'
      ? reject(cancelled())
      : fail('timeout', `${doing} took longer than ${options.timeoutMs} ms and was stopped`),
  )
  const watch = watchMemory(child, options.memoryLimitBytes, (bytes) =>
    fail('memory', `${doing} needed more than ${options.memoryLimitBytes} bytes of memory and was stopped`, {
      bytes,
    }),
  )
  try {
    return await result
  } finally {
    stopWatching()
    clearInterval(watch)
    child.kill('SIGKILL')
    if (child.pid !== undefined) {
      await ended
      options.onEnd?.(child.pid)
    }
  }
}

function start<I, P>(options: LimitedChildOptions<I, P>): ChildProcess {
  const entry = new URL('./limited-child-entry.ts', import.meta.url)
  // A test's job is in no build: then the entry runs from source as well.
  const [compiledEntry, compiledJob] = [compiledModule(entry), compiledModule(options.module)]
  const compiled = compiledEntry && compiledJob ? { entry: compiledEntry, job: compiledJob } : undefined
  return fork(fileURLToPath(compiled?.entry ?? entry), [(compiled?.job ?? options.module).href], {
    // The debugger's port is taken by this process.
    execArgv: withLoader(
      process.execArgv.filter((option) => !option.startsWith('--inspect')),
      compiled !== undefined,
    ),
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: withoutSecrets(options.env),
  })
}

/** Keeps the end of what a process writes to its standard error. @returns what it is so far. */
export function tailOf(child: ChildProcess): () => string {
  let tail = ''
  child.stderr?.setEncoding('utf8')
  child.stderr?.on('data', (text: string) => {
    tail = (tail + text).slice(-MAX_STDERR_CHARS)
  })
  return () => tail.trim()
}

function watchMemory(
  child: ChildProcess,
  limitBytes: number,
  exceeded: (bytes: number) => void,
): NodeJS.Timeout | undefined {
  const { pid } = child
  if (pid === undefined || !isMemoryKnown(pid)) return undefined
  return setInterval(() => {
    const bytes = ownBytesOf(pid)
    if (bytes > limitBytes) exceeded(bytes)
  }, MEMORY_POLL_MS)
}

function thrownInChild(message: ChildMessage & { kind: 'error' }): Error {
  if (message.code) return new ScissionError(message.code, message.message, message.details)
  const error = new Error(message.message)
  if (message.stack) error.stack = message.stack
  return error
}

function cancelled(): ScissionError {
  return new ScissionError('cancelled', 'the work was cancelled')
}
