/** Runs a request with several items: each item becomes a run request of its own, so that it can share a run with others. */
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RunOptions, RunResult, SharedRun } from '../executor/executor.ts'
import type { HeldStage } from '../models/stages.ts'
import { joinItems, splitItems } from './batch-tensors.ts'

/** Result of one or more items. */
export interface ItemsRun {
  /** Times are sums over `runs`. */
  run: RunResult
  items: number
  /** Each run once. */
  runs: SharedRun[]
}

/** @returns the number of items of the tensors; 1 if they disagree, so that checkInputs reports the error. */
export function itemsIn({ inputs }: Pick<Structure, 'inputs'>, tensors: readonly Tensor[]): number {
  const rows = new Set(tensors.map(({ shape }) => shape[0] ?? 0))
  const [count = 0] = rows
  const known = tensors.every(({ name }) => inputs.some((spec) => spec.name === name))
  return rows.size === 1 && known && count > 0 ? count : 1
}

/** Runs all items. After an error, items that have not begun are not run. @throws ScissionError as HeldStage.run. */
export async function runItems(
  stage: HeldStage,
  tensors: readonly Tensor[],
  count: number,
  options: RunOptions,
): Promise<ItemsRun> {
  if (count === 1) {
    const run = await stage.run(tensors, options)
    return { run, items: 1, runs: [run.batch ?? { size: 1 }] }
  }
  const failed = new AbortController()
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])])
  try {
    const items = splitItems(tensors, count)
    return together(await Promise.all(items.map((item) => stage.run(item, { ...options, signal }))))
  } catch (error) {
    failed.abort()
    throw error
  }
}

function together(all: readonly RunResult[]): ItemsRun {
  const distinct = new Map(all.map((run) => [run.batch ?? { size: 1 }, run]))
  const sum = (figure: (run: RunResult) => number) =>
    [...distinct.values()].reduce((total, run) => total + figure(run), 0)
  const run = {
    outputs: joinItems(all.map(({ outputs }) => outputs)),
    computeMs: sum(({ computeMs }) => computeMs),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    waitedMs: sum(({ waitedMs }) => waitedMs),
    queueMs: Math.min(...all.map(({ queueMs }) => queueMs)),
  }
  const runs = [...distinct.keys()]
  return { run, items: all.length, runs }
}
