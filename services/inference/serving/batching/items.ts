/**
 * Requests with several items: each item becomes a run request of its own, so that it can share a run with others. Items are
 * joined to a batch along the first axis, where row-major bytes are contiguous.
 */
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RunOptions, RunResult, SharedRun } from '../executor/executor.ts'
import type { HeldStage } from '../models/stages.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'

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

/** True if the tensors are items of these inputs: they differ from one item in the number of rows at most. */
export function areItems({ inputs }: Pick<Structure, 'inputs'>, tensors: readonly Tensor[]): boolean {
  return tensors.every(({ name, shape }) => {
    const spec = inputs.find((input) => input.name === name)
    // What is no input is for checkInputs to name.
    return !spec || spec.shape.slice(1).join() === shape.slice(1).join()
  })
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

/**
 * Joins items to a batch.
 * @param items at least one; each with the same tensors in any order. They stay untouched.
 * @returns tensors that own their bytes, in the order of the first item.
 */
export function joinItems(items: readonly (readonly Tensor[])[]): Tensor[] {
  const [first = []] = items
  return first.map(({ name, datatype, shape }) => {
    const parts = items.map((item) => named(item, name))
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.bytes.byteLength, 0))
    let at = 0
    for (const part of parts) {
      bytes.set(part.bytes, at)
      at += part.bytes.byteLength
    }
    const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0)
    return { name, datatype, shape: [rows, ...shape.slice(1)], bytes }
  })
}

/**
 * Splits a batch into items, the inverse of `joinItems`. Every item owns its bytes, because it may move to another thread.
 * @throws ScissionError internal if the first axis is not a multiple of `count`.
 */
export function splitItems(tensors: readonly Tensor[], count: number): Tensor[][] {
  return Array.from({ length: count }, (_, index) =>
    tensors.map(({ name, datatype, shape: [rows = 0, ...rest], bytes }) => {
      if (rows % count !== 0 || bytes.byteLength % count !== 0)
        throw new ScissionError('internal', `tensor "${name}" with ${rows} rows is no batch of ${count}`)
      const length = bytes.byteLength / count
      // slice() of a Node Buffer would be a view of the same memory.
      const own = new Uint8Array(bytes.subarray(index * length, (index + 1) * length))
      return { name, datatype, shape: [rows / count, ...rest], bytes: own }
    }),
  )
}

function named(item: readonly Tensor[], name: string): Tensor {
  const found = item.find((tensor) => tensor.name === name)
  if (found) return found
  throw new ScissionError('internal', `an item of a batch has no tensor "${name}"`)
}
