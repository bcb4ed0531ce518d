/**
 * Entry of an executor thread: obeys commands one after another. It never exits by itself.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { giveTurn, takeTurn, type Turns } from './run-turns.ts'
import {
  buffersOf,
  type Failure,
  failureOf,
  type RunReport,
  SessionRunner,
  type SessionSource,
} from './session-runner.ts'

export type Command =
  | ({ type: 'load'; id: number } & SessionSource)
  | ({ type: 'run'; id: number; inputs: Tensor[]; returned: string[] } & SessionSource)
  | { type: 'unload'; id: number; key: string }

export type Report =
  /** Names of the sub-model's inputs. The boundary has more if some tensors pass through. */
  | { type: 'loaded'; id: number; inputNames: string[] }
  | { type: 'ran'; id: number; result: RunReport }
  | { type: 'unloaded'; id: number }
  /** The command was not begun, because its flag was set. */
  | { type: 'skipped'; id: number }
  | ({ type: 'failed'; id: number } & Failure)

export interface WorkerSettings {
  /** The thread waits (slowdown − 1) × the CPU time of each run. */
  slowdown: number
  /** Shared memory: the flag at `id % length` is set if the result of command `id` is no longer needed. */
  skips: Int32Array
  /** Turns for the runs of all threads. */
  turns: Turns
}

if (parentPort === null) throw new Error('worker.ts runs as a worker thread of executor-thread.ts')
const port = parentPort
const { slowdown, skips, turns } = workerData as WorkerSettings
const runner = new SessionRunner(slowdown)

let before: Promise<void> = Promise.resolve()
port.on('message', (command: Command) => {
  before = before.then(() => obey(command))
})

async function obey(command: Command): Promise<void> {
  try {
    if (isSkipped(command)) return send({ type: 'skipped', id: command.id })
    switch (command.type) {
      case 'load':
        return send({ type: 'loaded', id: command.id, inputNames: await runner.load(command) })
      case 'run':
        return await run(command)
      case 'unload':
        await runner.unload(command.key)
        return send({ type: 'unloaded', id: command.id })
    }
  } catch (thrown) {
    const varied = command.type === 'run' && command.varying ? command.inputs : undefined
    send({ type: 'failed', id: command.id, ...failureOf(thrown, varied) })
  }
}

async function run(command: Extract<Command, { type: 'run' }>): Promise<void> {
  // A session that is not here yet takes no turn from others while it is created.
  await runner.load(command)
  takeTurn(turns)
  try {
    // Its caller may have left while it waited for its turn.
    if (isSkipped(command)) return send({ type: 'skipped', id: command.id })
    const result = await runner.run(command, command.inputs, command.returned)
    send({ type: 'ran', id: command.id, result }, [...buffersOf(result.outputs), ...result.spare])
  } finally {
    giveTurn(turns)
  }
}

const isSkipped = ({ id }: Command) => Atomics.load(skips, id % skips.length) !== 0

function send(report: Report, transfer: ArrayBuffer[] = []): void {
  port.postMessage(report, transfer)
}
