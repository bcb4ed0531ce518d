/**
 * Protobuf's wire format in memory, without decoding messages: one reader and one writer for all of shared/onnx.
 *
 * A protobuf library decodes a message whole, weights included, and takes 50 ms to load. Skipping the weights reads the
 * structure of a 553 MB model in 3 ms (file-reader.ts), and 22 to 80 sub-models are written in 5 to 22 ms because their
 * parts are copied as they are encoded. Field numbers come from onnx.proto.
 * Format: https://protobuf.dev/programming-guides/encoding/
 */

export const WIRE_VARINT = 0
export const WIRE_FIXED64 = 1
export const WIRE_BYTES = 2
export const WIRE_FIXED32 = 5

/** Bytes of a varint of 64 bits, which negative numbers always take. */
export const MAX_VARINT_BYTES = 10

/** Length in bytes of the varint at `at`; 0 if it does not end within ten bytes or before `end`. */
export function varintLength(bytes: Uint8Array, at: number, end: number): number {
  const last = Math.min(end, at + MAX_VARINT_BYTES)
  for (let next = at; next < last; next++) if ((bytes[next] ?? 0) < 0x80) return next - at + 1
  return 0
}

/** Value of the varint of `length` bytes at `at`. Inexact above 2^53: lengths are bounded, other numbers are skipped. */
export function varintValue(bytes: Uint8Array, at: number, length: number): number {
  let value = 0
  for (let place = length - 1; place >= 0; place--) value = value * 128 + ((bytes[at + place] ?? 0) & 0x7f)
  return value
}

/**
 * Moves past fields that follow one another and begin with the same tag of one byte, such as the elements of a long list.
 * @param last offset up to which the fields are in memory. @param end offset after the message.
 * @returns the offset after the last one that is whole; it may lie after `last`, but not after `end`.
 */
export function skipAlike(
  bytes: Uint8Array,
  from: number,
  tag: number,
  [last, end]: readonly [last: number, end: number],
): number {
  const wireType = tag & 7
  const size = wireType === WIRE_FIXED32 ? 4 : wireType === WIRE_FIXED64 ? 8 : 0
  if (tag >= 0x80 || (size === 0 && wireType !== WIRE_VARINT && wireType !== WIRE_BYTES)) return from
  let at = from
  while (at < last && bytes[at] === tag) {
    let next = at + 1 + size
    if (size === 0) {
      const length = varintLength(bytes, at + 1, last)
      if (length === 0) return at
      next = at + 1 + length + (wireType === WIRE_BYTES ? varintValue(bytes, at + 1, length) : 0)
    }
    if (next > end) return at
    at = next
  }
  return at
}

/** A field of an encoded message. Offsets are into the bytes that `fieldsOf` was given. */
export interface WireField {
  field: number
  /** Offset of the tag. */
  start: number
  /** The value is [from, to): the payload of a length-delimited field, else the encoded number. */
  from: number
  to: number
}

/**
 * Goes through the fields of a message, one level deep: `next` moves to the next one and tells of it in the properties, so
 * that nothing is copied, decoded or allocated. To go deeper, set `at` to `from` and pass `to` as the end.
 * For messages written here: file-reader.ts reads files from strangers and says where they break.
 */
export class FieldCursor implements WireField {
  readonly #bytes: Uint8Array
  /** Offset of the next byte. */
  at: number
  field = 0
  start = 0
  from = 0
  to = 0

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.at = at
  }

  /**
   * @param end offset after the message. @returns false if it has no more fields.
   * @throws Error if a field runs past the end or has an unknown wire type.
   */
  next(end: number): boolean {
    if (this.at >= end) return false
    this.start = this.at
    const tag = this.#varint(end)
    const wireType = tag % 8
    this.field = Math.floor(tag / 8)
    this.from = this.at
    if (wireType === WIRE_BYTES) {
      const length = this.#varint(end)
      this.from = this.at
      this.at += length
    } else if (wireType === WIRE_VARINT) this.#varint(end)
    else if (wireType === WIRE_FIXED64) this.at += 8
    else if (wireType === WIRE_FIXED32) this.at += 4
    else throw new Error(`unknown wire type ${wireType}`)
    if (this.at > end) throw new Error('a field runs past the end of its message')
    this.to = this.at
    return true
  }

  /** Moves past the fields that follow the last one and begin with the same tag: elements of a list of millions. */
  skipAlike(end: number): void {
    this.at = skipAlike(this.#bytes, this.at, this.#bytes[this.start] ?? 0x80, [end, end])
  }

  #varint(end: number): number {
    const first = this.#bytes[this.at] ?? 0x80
    // Nearly all tags and lengths have one byte.
    if (first < 0x80 && this.at < end) {
      this.at += 1
      return first
    }
    const length = varintLength(this.#bytes, this.at, end)
    if (length === 0) throw new Error('a number has no end')
    this.at += length
    return varintValue(this.#bytes, this.at - length, length)
  }
}

/** The fields of the message in bytes [start, end), one level deep. @throws Error as `FieldCursor.next`. */
export function fieldsOf(bytes: Uint8Array, start = 0, end = bytes.length): WireField[] {
  const fields: WireField[] = []
  const cursor = new FieldCursor(bytes, start)
  while (cursor.next(end))
    fields.push({ field: cursor.field, start: cursor.start, from: cursor.from, to: cursor.to })
  return fields
}

/** The numbers of a varint field: one, or several if they are packed. */
export function numbersOf(bytes: Uint8Array, { from, to }: WireField): number[] {
  const numbers: number[] = []
  for (let at = from; at < to; ) {
    const length = varintLength(bytes, at, to)
    if (length === 0) throw new Error('a number has no end')
    numbers.push(varintValue(bytes, at, length))
    at += length
  }
  return numbers
}

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** The text of a string field. */
export const textOf = (bytes: Uint8Array, { from, to }: WireField): string =>
  decoder.decode(bytes.subarray(from, to))

function encodeVarint(value: number): number[] {
  const out: number[] = []
  let rest = value
  while (rest > 127) {
    out.push((rest % 128) | 0x80)
    rest = Math.floor(rest / 128)
  }
  out.push(rest)
  return out
}

/** The bytes before any field. */
export const encodeTag = (field: number, wireType: number): Uint8Array =>
  Uint8Array.from(encodeVarint(field * 8 + wireType))

/** The bytes before the payload of a length-delimited field: tag and length. */
export function encodeHeader(field: number, length: number): Uint8Array {
  return Uint8Array.from([...encodeVarint(field * 8 + WIRE_BYTES), ...encodeVarint(length)])
}

/** A length-delimited field with its payload, as chunks. */
export function encodeField(field: number, payload: Uint8Array): [Uint8Array, Uint8Array] {
  return [encodeHeader(field, payload.length), payload]
}

/** A field that holds a number ≥ 0. */
export function encodeNumber(field: number, value: number): Uint8Array {
  return Uint8Array.from([...encodeVarint(field * 8 + WIRE_VARINT), ...encodeVarint(value)])
}

/** A field that holds text. */
export function encodeText(field: number, text: string): Uint8Array {
  return concatenate(encodeField(field, encoder.encode(text)))
}

export function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const chunk of chunks) length += chunk.length
  const whole = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
