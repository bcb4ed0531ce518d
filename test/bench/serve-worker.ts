/**
 * The other processes of `serve`: `bare` runs a model in a loop and nothing else; `clients` keeps requests under way.
 * argv: one JSON of Task. Told `go`, they work for `ms` and say what they got done and how much CPU it took.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { readFileSync } from 'node:fs'
import { dieWithParent, reportReady } from '../../infra/start/processes/die-with-parent.ts'
import { createSession } from '../../services/inference/serving/executor/ort-session.ts'
import { Caller } from '../../services/inference/http/call.ts'
import { toOrt } from '../../shared/onnx/runtime/ort-tensor.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { infer } from './serve-setup.ts'

export type Task =
  | { kind: 'bare'; file: string; input: SavedTensor }
  | { kind: 'clients'; url: string; input: SavedTensor; clients: number }

/** A tensor whose bytes are in a file. */
export type SavedTensor = Omit<Tensor, 'bytes'> & { path: string }

export interface Work {
  /** Requests that ended within `tookMs`, from the first that ended to the last: pipes are full then. */
  done: number
  tookMs: number
  /** Median compute time of each hop; one value for a whole model. */
  computeMs: number[]
  /** CPU time of this process. */
  cpuMs: number
}

const load = ({ path, ...tensor }: SavedTensor): Tensor => ({
  ...tensor,
  bytes: new Uint8Array(new Uint8Array(readFileSync(path))),
})

dieWithParent()
const task = JSON.parse(process.argv[2] ?? '') as Task
const step = task.kind === 'bare' ? await bare(task) : clients(task)
process.on('message', ({ ms }: { ms: number }) => {
  void work(ms).then((result) => process.send?.(result))
})
reportReady('none')

async function bare({ file, input }: Extract<Task, { kind: 'bare' }>) {
  const session = await createSession(file, { threads: 1, optimisation: 'all' })
  const feeds = { [input.name]: toOrt(load(input)) }
  await session.run(feeds)
  return { width: 1, once: () => session.run(feeds) }
}

function clients({ url, input, clients: width }: Extract<Task, { kind: 'clients' }>) {
  const caller = new Caller()
  const inputs = [load(input)]
  return { width, once: () => infer(caller, url, inputs) }
}

async function work(ms: number): Promise<Work> {
  const cpu = process.cpuUsage()
  const started = performance.now()
  const doneAt: number[] = []
  const hops: number[][] = []
  const loop = async () => {
    while (performance.now() - started < ms) {
      const answer = await step.once()
      doneAt.push(performance.now())
      for (const [hop, computeMs] of computedBy(answer)) (hops[hop] ??= []).push(computeMs)
    }
  }
  await Promise.all(Array.from({ length: step.width }, loop))
  const { user, system } = process.cpuUsage(cpu)
  return {
    done: doneAt.length - 1,
    tookMs: (doneAt.at(-1) ?? Number.NaN) - (doneAt[0] ?? Number.NaN),
    computeMs: hops.map((samples) => nearestRank(samples, 0.5)),
    cpuMs: (user + system) / 1000,
  }
}

function computedBy(answer: object): [number, number][] {
  if (!('parameters' in answer)) return []
  return Object.entries(answer.parameters as Record<string, unknown>).flatMap(([key, value]) => {
    const [, hop] = /^scission_hop(\d+)_computeMs$/.exec(key) ?? []
    return hop === undefined ? [] : [[Number(hop), Number(value)] as [number, number]]
  })
}
