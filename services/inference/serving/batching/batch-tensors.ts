/** Joins items to a batch along the first axis and splits a batch again. Along that axis, row-major bytes are contiguous. */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'

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
