/** What the message thread is asked and what it answers. */
import type { Message } from '../../../shared/oip/binary-message.ts'
import type { InferRequest } from '../../../shared/oip/request-message.ts'
import type { OutgoingResponse } from '../../../shared/oip/response-message.ts'

export type MessageJob =
  | { kind: 'parse'; json: Uint8Array; binary: Uint8Array; model: string }
  | { kind: 'write'; response: OutgoingResponse }

export type MessageResult = { kind: 'parsed'; request: InferRequest } | { kind: 'written'; message: Message }

/** The distinct buffers behind some views: what moves to the other thread. Pooled and shared ones stay. */
export function movable(views: readonly Uint8Array[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { buffer } of views) {
    if (buffer instanceof ArrayBuffer && buffer.byteLength > 0 && buffer.byteLength !== Buffer.poolSize)
      buffers.add(buffer)
  }
  return [...buffers]
}
