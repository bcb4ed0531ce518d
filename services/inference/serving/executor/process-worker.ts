/**
 * Entry of a process that runs one stage (stage-process.ts). It reads commands from a socket that its parent made and does
 * nothing meanwhile, so it reads and writes where the tensors lie. It ends with its parent, also in the middle of a run.
 */
import fs from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import {
  frameHead,
  LENGTH_BYTES,
  type ProcessCommand,
  type ProcessReport,
  type SentTensor,
  sumOfBytes,
  withoutBytes,
} from './process-frames.ts'
import { failureOf, SessionRunner, type SessionSource } from './session-runner.ts'

/** The first one after standard input, output and error. */
const SOCKET = 3

/** A terminal sends its signals to all processes of a group: the parent decides when this one ends. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

/** A run blocks the main thread: only another one can notice that the parent is gone. */
const watch = `const parent = Number(${JSON.stringify(process.argv[2])})
setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL') }, 200)`
new Worker(watch, { eval: true }).unref()

function read(bytes: number): Uint8Array<ArrayBuffer> {
  const target = new Uint8Array(bytes)
  let at = 0
  while (at < bytes) {
    const count = fs.readSync(SOCKET, target, at, bytes - at, null)
    if (count === 0) process.exit(0)
    at += count
  }
  return target
}

function write(bytes: Uint8Array): void {
  let at = 0
  while (at < bytes.byteLength) at += fs.writeSync(SOCKET, bytes, at)
}

const readTensor = ({ bytes, ...tensor }: SentTensor): Tensor => ({ ...tensor, bytes: read(bytes) })

function report(head: ProcessReport, tensors: readonly Tensor[] = []): void {
  write(frameHead(head))
  for (const { bytes } of tensors) write(bytes)
}

let runner: SessionRunner | undefined
let source: SessionSource | undefined

async function obey(command: ProcessCommand): Promise<void> {
  let inputs: Tensor[] = []
  try {
    if (command.type === 'load') {
      runner = new SessionRunner(command.slowdown)
      source = command.source
      return report({ type: 'loaded', inputNames: await runner.load(source), tensors: [] })
    }
    inputs = command.tensors.map(readTensor)
    if (!runner || !source) throw new Error('a run came before its stage')
    const { outputs, startedAtMs, computeMs, cpuMs, waitedMs } = await runner.run(source, inputs, [])
    const tensors = outputs.map(withoutBytes)
    const bytes = sumOfBytes(tensors)
    if (bytes > command.maxBytes) return report({ type: 'tooLarge', bytes, tensors: [] })
    report({ type: 'ran', tensors, startedAtMs, computeMs, cpuMs, waitedMs }, outputs)
  } catch (thrown) {
    report({ type: 'failed', tensors: [], ...failureOf(thrown, source?.varying ? inputs : undefined) })
  }
}

for (;;) {
  const length = new DataView(read(LENGTH_BYTES).buffer).getUint32(0, true)
  const head = JSON.parse(Buffer.from(read(length)).toString()) as ProcessCommand
  await obey(head)
}
