/**
 * What crosses between this process and one that runs a stage: a frame is a length, a head as JSON, and the bytes of its
 * tensors, which are copied nowhere on the way but by the system.
 *
 *   | bytes of the head, 4, little-endian | head | tensor | tensor | …
 *
 * The process runs what a stranger's model says, so what comes from it is checked.
 */
import type { Datatype } from '../../../../shared/contracts/common.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Failure, RunReport, SessionSource } from './session-runner.ts'

/** A tensor without its bytes, which follow the head. */
export interface SentTensor {
  name: string
  datatype: Datatype
  shape: number[]
  bytes: number
}

export type ProcessCommand =
  | { type: 'load'; source: SessionSource; slowdown: number }
  /** Outputs of more bytes than `maxBytes` are not sent. */
  | { type: 'run'; tensors: SentTensor[]; maxBytes: number }

export type ProcessReport =
  | { type: 'loaded'; inputNames: string[]; tensors: [] }
  | ({ type: 'ran'; tensors: SentTensor[] } & Omit<RunReport, 'outputs' | 'spare'>)
  | { type: 'tooLarge'; bytes: number; tensors: [] }
  | ({ type: 'failed'; tensors: [] } & Failure)

export const LENGTH_BYTES = 4
/** Names, shapes and errors: far more than any model has. */
export const MAX_HEAD_BYTES = 16 * 1024 * 1024

export const withoutBytes = ({ name, datatype, shape, bytes }: Tensor): SentTensor => ({
  name,
  datatype,
  shape,
  bytes: bytes.byteLength,
})

/** Length and head of a frame. */
export function frameHead(head: ProcessCommand | ProcessReport): Uint8Array {
  const json = Buffer.from(JSON.stringify(head))
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + json.length)
  frame.writeUInt32LE(json.length)
  json.copy(frame, LENGTH_BYTES)
  return frame
}

export const sumOfBytes = (tensors: readonly { bytes: number }[]): number =>
  tensors.reduce((sum, { bytes }) => sum + bytes, 0)
