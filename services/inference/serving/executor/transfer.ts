/**
 * Decides which input buffers move to an executor thread and which are copied.
 *
 * A buffer that the tensors of one run fill completely moves without a copy; the caller's views of it become empty. A part
 * of a larger buffer, for instance of Node's pool, is copied once, because the rest of that buffer may have other readers. A
 * tensor that passes through stays here, unless it is in a buffer that moves; then it returns with the outputs.
 */
import { isMovable } from '../../messages/buffer-memory.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'

export interface PreparedInputs {
  sent: Tensor[]
  transfer: ArrayBuffer[]
  /** Names of tensors in `sent` that the thread must return, because they pass through. */
  returned: string[]
  /** Tensors that pass through and stay here. */
  kept: Tensor[]
  copiedBytes: number
}

/**
 * Prepares the inputs of one run.
 * @param consumed names of the session's inputs. @param passThrough names of inputs that are also outputs of the range.
 */
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

function addCopy(prepared: PreparedInputs, tensor: Tensor): void {
  const bytes = new Uint8Array(tensor.bytes)
  prepared.sent.push({ ...tensor, bytes })
  if (bytes.byteLength > 0) prepared.transfer.push(bytes.buffer)
  prepared.copiedBytes += bytes.byteLength
}
