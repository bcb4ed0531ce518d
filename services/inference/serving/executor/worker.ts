/**
 * Entry of an executor thread: holds sessions and runs them one after another, in the order of the commands.
 *
 * `session.run` blocks its thread during the whole run, and a session cannot leave the thread that created it. So sessions
 * stay here, and tensors are transferred. The thread never exits by itself. Its only state is its sessions, which the next
 * command can create again.
 */
import fs from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { coerceError, type ErrorCode, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { type CpuTimer, cpuTimer, monotonicMs, SlowDown } from './cpu-time.ts'
import { fromOrt, toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { holdsByteStrings } from '../../../../shared/onnx/wire/byte-strings.ts'
import { createSession } from './ort-session.ts'
import { runError } from './run-error.ts'

/** Everything that a thread needs to create a session, sent with every command, so that a new thread can create it too. */
export interface SessionSource {
  key: string
  path: string
  options: RuntimeOptions
  /** True if the shapes of its inputs vary. */
  varying: boolean
}

export type Command =
  | ({ type: 'load'; id: number } & SessionSource)
  | ({ type: 'run'; id: number; inputs: Tensor[]; returned: string[] } & SessionSource)
  | { type: 'unload'; id: number; key: string }

export interface RunReport {
  /** The session's outputs, and the inputs that the command asked to return. */
  outputs: Tensor[]
  /** Buffers of the other inputs, to be reused. */
  spare: ArrayBuffer[]
  /** `monotonicMs` at the start of the computation. */
  startedAtMs: number
  /** Wall time in ONNX Runtime, in ms. */
  computeMs: number
  /** CPU time of the run, in ms. */
  cpuMs: number
  /** ms waited to emulate a slower machine. */
  waitedMs: number
}

export type Report =
  /** Names of the sub-model's inputs. The boundary has more if some tensors pass through. */
  | { type: 'loaded'; id: number; inputNames: string[] }
  | { type: 'ran'; id: number; result: RunReport }
  | { type: 'unloaded'; id: number }
  /** The command was not begun, because its flag was set. */
  | { type: 'skipped'; id: number }
  | { type: 'failed'; id: number; code: ErrorCode; message: string; details?: Record<string, unknown> }

export interface WorkerSettings {
  /** The thread waits (slowdown − 1) × the CPU time of each run. */
  slowdown: number
  /** Shared memory: the flag at `id % length` is set if the result of command `id` is no longer needed. */
  skips: Int32Array
}

interface Loaded {
  session: InferenceSession
  timer: CpuTimer
  threads: number
  /** Whether its file has strings that are not UTF-8. */
  holdsBytes: () => boolean
}

if (parentPort === null) throw new Error('worker.ts runs as a worker thread of executor-thread.ts')
const port = parentPort
const settings = workerData as WorkerSettings
const sessions = new Map<string, Loaded>()
const timers = new Map<boolean, CpuTimer>()
const slowDown = new SlowDown(settings.slowdown)

let turn: Promise<void> = Promise.resolve()
port.on('message', (command: Command) => {
  turn = turn.then(() => obey(command))
})

async function obey(command: Command): Promise<void> {
  try {
    if (Atomics.load(settings.skips, command.id % settings.skips.length) !== 0) {
      return send({ type: 'skipped', id: command.id })
    }
    switch (command.type) {
      case 'load': {
        const { session } = await sessionOf(command)
        return send({ type: 'loaded', id: command.id, inputNames: [...session.inputNames] })
      }
      case 'run': {
        const result = await run(command)
        const moved = [...buffersOf(result.outputs), ...result.spare]
        return send({ type: 'ran', id: command.id, result }, moved)
      }
      case 'unload':
        await unload(command.key)
        return send({ type: 'unloaded', id: command.id })
    }
  } catch (thrown) {
    const varied = command.type === 'run' && command.varying ? command.inputs : undefined
    const error = thrown instanceof ScissionError ? thrown : runError(coerceError(thrown), varied)
    const { code, message, details } = error
    send({ type: 'failed', id: command.id, code, message, ...(details && { details }) })
  }
}

function send(report: Report, transfer: ArrayBuffer[] = []): void {
  port.postMessage(report, transfer)
}

function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  return [...new Set(tensors.map((tensor) => tensor.bytes.buffer as ArrayBuffer))]
}

async function sessionOf({ key, path, options, varying }: SessionSource): Promise<Loaded> {
  const held = sessions.get(key)
  if (held !== undefined) return held
  const session = await createSession(path, options, varying)
  let known: boolean | undefined
  const holdsBytes = () => (known ??= holdsByteStrings(fs.readFileSync(path)))
  const timer = timerOf(options.threads)
  const loaded = { session, timer, threads: options.threads, holdsBytes }
  sessions.set(key, loaded)
  return loaded
}

function timerOf(threads: number): CpuTimer {
  const several = threads > 1
  const timer = timers.get(several) ?? cpuTimer(threads)
  timers.set(several, timer)
  return timer
}

async function unload(key: string): Promise<void> {
  const loaded = sessions.get(key)
  sessions.delete(key)
  await loaded?.session.release()
}

async function run(command: Extract<Command, { type: 'run' }>): Promise<RunReport> {
  const { session, timer, threads, holdsBytes } = await sessionOf(command)
  const taken = command.inputs.filter((input) => session.inputNames.includes(input.name))
  const feeds = Object.fromEntries(taken.map((input) => [input.name, toOrt(input)]))
  const cpuSinceMs = timer()
  const startedAtMs = monotonicMs()
  const made = await session.run(feeds)
  const computeMs = monotonicMs() - startedAtMs
  const cpuMs = cpuSinceMs()
  const outputs = session.outputNames.map((name) => fromOrt(name, made[name] as OrtTensor, holdsBytes))
  const asked = new Set(command.returned)
  outputs.push(...command.inputs.filter((input) => asked.has(input.name)))
  const spare = spareOf(command.inputs, outputs)
  const waitedMs = slowDown.wait(threads > 1 ? Math.min(cpuMs, computeMs) : cpuMs)
  return { outputs, spare, startedAtMs, computeMs, cpuMs, waitedMs }
}

/** Buffers of inputs that are not returned as tensors. Freeing them on this thread would take computing time. */
function spareOf(inputs: readonly Tensor[], outputs: readonly Tensor[]): ArrayBuffer[] {
  const kept = new Set(buffersOf(outputs))
  return buffersOf(inputs).filter((buffer) => !kept.has(buffer) && buffer.byteLength > 0)
}
