/** The input tensors of a run on their way to an executor thread: which move, which are copied, and which stay. */
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { isMovable } from '../../messages/buffer-memory.ts'

/** The input tensors of one run. */
export interface RunInputs {
  inputs: readonly Tensor[]
  /** Names of the session's inputs. */
  consumed: ReadonlySet<string>
  /** Names of inputs that are also outputs of the range. */
  passThrough: ReadonlySet<string>
}

interface PreparedInputs {
  sent: Tensor[]
  transfer: ArrayBuffer[]
  /** Names of tensors in `sent` that the thread must return, because they pass through. */
  returned: string[]
  /** Tensors that pass through and stay here. */
  kept: Tensor[]
}

/**
 * Decides which input buffers of a run move to the thread and which are copied.
 *
 * A buffer that the tensors of one run fill completely moves without a copy; the caller's views of it become empty. A part
 * of a larger buffer, for instance of Node's pool, is copied once, because the rest of that buffer may have other readers. A
 * tensor that passes through stays here, unless it is in a buffer that moves; then it returns with the outputs.
 */
export function prepareInputs({ inputs, consumed, passThrough }: RunInputs): PreparedInputs {
  const moving = buffersFilledBy(inputs)
  const prepared: PreparedInputs = { sent: [], transfer: [...moving], returned: [], kept: [] }
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

/** The buffers that the tensors of one run fill completely, and that have no other readers. */
export function buffersFilledBy(inputs: readonly Tensor[]): Set<ArrayBuffer> {
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
}
