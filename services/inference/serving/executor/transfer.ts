/**
 * Which input buffers move to an executor thread, and which are copied.
 *
 * A buffer moves (no copy; the caller's views of it become empty) when the tensors of this one run fill it: then
 * nobody else can have an interest in it. Anything else is copied once into a buffer that moves: a part of a larger
 * buffer, above all a Node Buffer from the shared pool. A tensor that passes through and lies in a moving buffer
 * travels along and comes back with the outputs; otherwise it stays where it is.
 */
import type { Tensor } from '../../../../shared/contracts/tensor.ts'

export interface PreparedInputs {
  sent: Tensor[]
  transfer: ArrayBuffer[]
  /** Names among `sent` that the thread must give back, because they pass through. */
  returned: string[]
  /** Tensors that pass through and never left. */
  kept: Tensor[]
  copiedBytes: number
}

/** @param consumed names the session takes. @param passThrough names that are also outputs of the range. */
export function prepareInputs(
  inputs: readonly Tensor[],
  consumed: ReadonlySet<string>,
  passThrough: ReadonlySet<string>,
): PreparedInputs {
  const moving = buffersFilledBy(inputs)
  const prepared: PreparedInputs = {
    sent: [],
    transfer: [...moving],
    returned: [],
    kept: [],
    copiedBytes: 0,
  }
  for (const tensor of inputs) {
    const { buffer } = tensor.bytes
    if (buffer instanceof ArrayBuffer && moving.has(buffer)) {
      prepared.sent.push(tensor)
      if (passThrough.has(tensor.name)) prepared.returned.push(tensor.name)
      continue
    }
    if (passThrough.has(tensor.name)) prepared.kept.push(tensor)
    if (consumed.has(tensor.name)) addCopy(prepared, tensor)
  }
  return prepared
}

function buffersFilledBy(inputs: readonly Tensor[]): Set<ArrayBuffer> {
  const used = new Map<ArrayBuffer, number>()
  for (const { bytes } of inputs) {
    if (bytes.buffer instanceof ArrayBuffer)
      used.set(bytes.buffer, (used.get(bytes.buffer) ?? 0) + bytes.byteLength)
  }
  const filled = [...used].filter(([buffer, bytes]) => bytes === buffer.byteLength && isMovable(buffer))
  return new Set(filled.map(([buffer]) => buffer))
}

/** Node marks its pool as not transferable; a copy of 8 KiB costs less than finding out. Empty ones need no move. */
function isMovable(buffer: ArrayBuffer): boolean {
  return buffer.byteLength > 0 && buffer.byteLength !== Buffer.poolSize
}

function addCopy(prepared: PreparedInputs, tensor: Tensor): void {
  const bytes = new Uint8Array(tensor.bytes)
  prepared.sent.push({ ...tensor, bytes })
  if (bytes.byteLength > 0) prepared.transfer.push(bytes.buffer)
  prepared.copiedBytes += bytes.byteLength
}
