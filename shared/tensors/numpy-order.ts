/** The order of bytes and elements in NumPy's files: brought to that of tensors, little-endian and row by row. */

export interface ArrayOrder {
  /** The first byte of an element is its highest. */
  isBigEndian: boolean
  /** Column by column, as Fortran has it: the first index moves fastest. */
  isFortran: boolean
}

/**
 * @param size bytes of an element.
 * @returns the same bytes if they are in order, otherwise a copy.
 */
export function inTensorOrder(
  bytes: Uint8Array,
  size: number,
  shape: readonly number[],
  { isBigEndian, isFortran }: ArrayOrder,
): Uint8Array {
  const little = isBigEndian ? swapped(bytes, size) : bytes
  // One row, or one column, is the same either way.
  return isFortran && shape.filter((dim) => dim > 1).length > 1 ? byRows(little, size, shape) : little
}

function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(bytes)
  if (size === 2) return copy.swap16()
  if (size === 4) return copy.swap32()
  return size === 8 ? copy.swap64() : copy
}

/** Walks through the elements row by row, with the place of each in the order by columns. */
function byRows(bytes: Uint8Array, size: number, shape: readonly number[]): Uint8Array {
  const rows = new Uint8Array(bytes.length)
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, dim) => product * dim, size))
  const index = shape.map(() => 0)
  let from = 0
  for (let to = 0; to < bytes.length; to += size) {
    for (let byte = 0; byte < size; byte += 1) rows[to + byte] = bytes[from + byte] ?? 0
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const stride = strides[axis] ?? 0
      index[axis] = (index[axis] ?? 0) + 1
      from += stride
      if ((index[axis] ?? 0) < (shape[axis] ?? 0)) break
      from -= stride * (shape[axis] ?? 0)
      index[axis] = 0
    }
  }
  return rows
}
