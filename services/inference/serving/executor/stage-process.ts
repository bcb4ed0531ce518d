/**
 * This process' side of one that runs a stage: one session, one run at a time. Unlike a thread it can be ended at any moment,
 * in the middle of a run too, and its memory with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import { withoutSecrets } from '../../../../shared/platform/processes/child-env.ts'
import { compiledModule, withLoader } from '../../../../shared/platform/processes/child-module.ts'
import { tailOf } from '../../../../shared/platform/processes/limited-child.ts'
import { BELOW_SERVING, giveWay } from '../../../../shared/platform/processes/priority.ts'
import { ownBytesOf } from '../../../../shared/platform/processes/own-memory.ts'
import { FrameReader, type ReceivedFrame } from './frame-reader.ts'
import { frameHead, type ProcessCommand, withoutBytes } from './process-frames.ts'
import type { RunReport, SessionSource } from './session-runner.ts'

const entry = new URL('./process-worker.ts', import.meta.url)
const MIB = 1024 * 1024

export interface StageProcessSettings {
  slowdown: number
  /** Maximum size of its JavaScript heap, which holds strings but neither tensors nor weights. */
  heapBytes: number
}

interface Waiter {
  resolve: (frame: ReceivedFrame) => void
  reject: (error: Error) => void
}

export class StageProcess {
  readonly #child: ChildProcess
  readonly #socket: Duplex
  readonly #reader: FrameReader
  /** What it does now. */
  #waiter: Waiter | undefined
  #inputNames: ReadonlySet<string> = new Set()
  #hasLoaded = false
  /** Why it was ended, or ended by itself. */
  #end: ScissionError | undefined
  /** Resolves when it has ended, for any reason. */
  readonly ended: Promise<void>
  /** Resolves when it has its session. Rejects with ScissionError invalidModel, or as it was killed. */
  readonly loaded: Promise<void>
  /** Its own memory after it had loaded its session. */
  #bytesAtStart = 0

  constructor(source: SessionSource, { slowdown, heapBytes }: StageProcessSettings) {
    const compiled = compiledModule(entry)
    const options = process.execArgv.filter((option) => !option.startsWith('--inspect'))
    const heap = `--max-old-space-size=${Math.ceil(heapBytes / MIB)}`
    this.#child = spawn(
      process.execPath,
      [
        ...withLoader(options, compiled !== undefined),
        heap,
        fileURLToPath(compiled ?? entry),
        String(process.pid),
      ],
      { stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env: withoutSecrets() },
    )
    // A run without end, and the process made anew after it, would take from the runs of others as much as they get.
    if (this.#child.pid !== undefined) giveWay(BELOW_SERVING, this.#child.pid)
    this.#socket = this.#child.stdio[3] as Duplex
    this.#reader = new FrameReader((frame) => this.#settle(frame))
    const stderr = tailOf(this.#child)
    this.#socket.on('data', (chunk: Uint8Array) => this.#take(chunk))
    // Writing to a process that has just ended: its end says why.
    this.#socket.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      const ended = (why: string) => {
        this.#fail(died(source.key, why, stderr()))
        resolve()
      }
      this.#child.on('exit', (code, signal) => ended(signal ?? `code ${code}`))
      this.#child.on('error', (error) => ended(error.message))
    })
    this.loaded = this.#load({ type: 'load', source, slowdown })
    // Whoever waits for it hears of a failure.
    this.loaded.catch(() => undefined)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Whether it does something now. */
  get busy(): boolean {
    return this.#waiter !== undefined
  }

  /** Whether it is not done with loading its session. */
  get loading(): boolean {
    return this.alive && !this.#hasLoaded
  }

  /** Whether it can take a run. */
  get free(): boolean {
    return this.alive && this.#hasLoaded && !this.busy
  }

  /** False after it was killed or has ended. */
  get alive(): boolean {
    return this.#end === undefined
  }

  /** Memory that it holds for itself, in bytes; 0 where the system does not say. */
  ownBytes(): number {
    return this.pid === undefined ? 0 : ownBytesOf(this.pid)
  }

  /** Bytes that it holds more than when it had loaded. */
  grownBytes(): number {
    return this.ownBytes() - this.#bytesAtStart
  }

  /**
   * Runs the stage; the tensors stay as they are. Only if it is not busy.
   * @param maxBytes most bytes of the outputs.
   * @throws ScissionError payloadTooLarge if the outputs have more; as `runError`; internal if it dies; as it is killed.
   */
  async run(inputs: readonly Tensor[], maxBytes: number): Promise<Omit<RunReport, 'spare'>> {
    const taken = inputs.filter(({ name }) => this.#inputNames.has(name))
    this.#reader.maxBytes = maxBytes
    const command: ProcessCommand = { type: 'run', tensors: taken.map(withoutBytes), maxBytes }
    const { report, tensors } = await this.#ask(command, taken)
    if (report.type === 'ran') return { ...report, outputs: tensors }
    if (report.type === 'tooLarge') throw tooLarge(report.bytes, maxBytes)
    throw this.#unexpected(report.type)
  }

  /** Ends it at once. @param why its load, or its run, fails with this. */
  kill(why: ScissionError): void {
    this.#fail(why)
    this.#child.kill('SIGKILL')
  }

  async #load(command: ProcessCommand): Promise<void> {
    const { report } = await this.#ask(command, [])
    if (report.type !== 'loaded') throw this.#unexpected(report.type)
    this.#inputNames = new Set(report.inputNames)
    this.#hasLoaded = true
    this.#bytesAtStart = this.ownBytes()
  }

  #ask(command: ProcessCommand, tensors: readonly Tensor[]): Promise<ReceivedFrame> {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end)
      this.#waiter = { resolve, reject }
      this.#socket.cork()
      this.#socket.write(frameHead(command))
      for (const { bytes } of tensors) if (bytes.byteLength > 0) this.#socket.write(bytes)
      this.#socket.uncork()
    })
  }

  #take(chunk: Uint8Array): void {
    if (this.#end) return
    try {
      this.#reader.take(chunk)
    } catch (thrown) {
      const { message } = coerceError(thrown)
      this.kill(
        new ScissionError('internal', `the process of a stage answered what cannot be read: ${message}`),
      )
    }
  }

  #settle(frame: ReceivedFrame): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    const { report } = frame
    if (report.type === 'failed')
      waiter?.reject(new ScissionError(report.code, report.message, report.details))
    else waiter?.resolve(frame)
  }

  #fail(error: ScissionError): void {
    this.#end ??= error
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(this.#end)
  }

  #unexpected(type: string): ScissionError {
    const error = new ScissionError(
      'internal',
      `the process of a stage answered "${type}" to another command`,
    )
    this.kill(error)
    return error
  }
}

const died = (key: string, why: string, stderr: string) =>
  new ScissionError(
    'internal',
    `the process that runs ${key} ended (${why}); it has been replaced: send the request again`,
    { stage: key, reason: why, ...(stderr && { stderr }) },
  )

const tooLarge = (bytes: number, maxBytes: number) =>
  new ScissionError(
    'payloadTooLarge',
    `the values of the inputs ask for outputs of ${bytes} bytes, at most ${maxBytes} are sent; ` +
      'SCISSION_MAX_BODY_BYTES sets the limit',
    { bytes, limit: maxBytes },
  )
