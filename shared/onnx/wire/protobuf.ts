/**
 * The fields of an encoded protobuf message in memory, one level deep: where each lies, nothing is copied or decoded. For small
 * messages that were written here; what strangers write is read by wire.ts, which says where it breaks.
 * Format: https://protobuf.dev/programming-guides/encoding/
 */
import { WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT } from './file-reader.ts'

/** Bytes of 64 bits, which negative ones always take. Above 2^53 they are not exact: those are skipped, not read. */
const LONGEST_NUMBER = 10

export interface WireField {
  field: number
  /** Where it begins, tag and length included; what it holds goes from `from` to `to`: an encoded number, or bytes. */
  start: number
  from: number
  to: number
}

/** Of a part of `bytes`, with places in all of `bytes`. @throws Error where a field runs past the end, or is of no kind. */
export function fieldsOf(bytes: Uint8Array, start = 0, end = bytes.length): WireField[] {
  const fields: WireField[] = []
  let at = start
  const varint = (): number => {
    let value = 0
    let scale = 1
    for (let read = 0; read < LONGEST_NUMBER && at < end; read++) {
      const byte = bytes[at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new Error('a number has no end')
  }
  while (at < end) {
    const begin = at
    const tag = varint()
    const wireType = tag % 8
    let from = at
    if (wireType === WIRE_BYTES) {
      const length = varint()
      from = at
      at += length
    } else if (wireType === WIRE_VARINT) varint()
    else if (wireType === WIRE_FIXED64) at += 8
    else if (wireType === WIRE_FIXED32) at += 4
    else throw new Error(`unknown wire type ${wireType}`)
    if (at > end) throw new Error('a field runs past the end of its message')
    fields.push({ field: Math.floor(tag / 8), start: begin, from, to: at })
  }
  return fields
}

const decoder = new TextDecoder()

/** UTF-8, as protobuf writes strings. */
export const textOf = (bytes: Uint8Array, { from, to }: WireField): string =>
  decoder.decode(bytes.subarray(from, to))
