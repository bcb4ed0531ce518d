/**
 * Reads protobuf's wire format from a file with bounded memory.
 *
 * A cursor over a small window that is read with `pread` where it is needed, so that skipping a payload of
 * hundreds of megabytes costs nothing. Every length is checked against the message around it before it is
 * believed: a hostile length is an error with its offset, never an allocation.
 * Format: https://protobuf.dev/programming-guides/encoding/
 */
import fs from 'node:fs'
import { ScissionError } from '../../platform/errors.ts'

/** Covers a layer's own fields; larger only reads bytes of weights that are skipped. */
const WINDOW_BYTES = 16 * 1024

/** Where in the message tree the reader is: a list from the inside out, put into words only for an error. */
export interface Place {
  label: string
  index?: number
  parent?: Place | undefined
}

function describePlace(place: Place | undefined): string {
  const parts: string[] = []
  for (let at = place; at; at = at.parent)
    parts.unshift(at.index === undefined ? at.label : `${at.label}[${at.index}]`)
  return parts.join('.')
}

export const WIRE_VARINT = 0
export const WIRE_FIXED64 = 1
export const WIRE_BYTES = 2
export const WIRE_FIXED32 = 5

export class WireFile {
  readonly path: string
  readonly size: number
  readonly #fd: number
  #window: Uint8Array = new Uint8Array(0)
  #windowStart = 0
  /** Absolute offset of the next byte. */
  position = 0

  constructor(path: string) {
    this.path = path
    this.#fd = fs.openSync(path, 'r')
    this.size = fs.fstatSync(this.#fd).size
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  /** @throws ScissionError invalidModel naming the place and the offset. */
  fail(reason: string, place: Place | undefined, offset = this.position): never {
    const where = describePlace(place)
    throw new ScissionError(
      'invalidModel',
      `not a valid ONNX file: ${reason}${where ? ` in ${where}` : ''} (at byte ${offset} of ${this.size})`,
      { offset, place: where },
    )
  }

  /** A copy of `length` bytes at `offset`; does not move the cursor. */
  bytes(offset: number, length: number): Uint8Array {
    const copy = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      const read = fs.readSync(this.#fd, copy, filled, length - filled, offset + filled)
      if (read === 0) this.fail('the file ends too early', undefined, offset + filled)
      filled += read
    }
    return copy
  }

  #byte(end: number, place: Place | undefined): number {
    if (this.position >= end) this.fail('a field runs past the end of its message', place)
    const inside = this.position - this.#windowStart
    if (inside < 0 || inside >= this.#window.length) {
      this.#window = this.bytes(this.position, Math.min(WINDOW_BYTES, this.size - this.position))
      this.#windowStart = this.position
      return this.#window[this.position++ - this.#windowStart] ?? 0
    }
    this.position++
    return this.#window[inside] ?? 0
  }

  /** A base-128 number; above 2^53 it is not exact, which only lengths care about, and those are bounded. */
  varint(end: number, place: Place | undefined): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte(end, place)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    return this.fail('a number is longer than ten bytes', place)
  }

  /** The length of a length-delimited field, checked to fit in the message that ends at `end`. */
  length(end: number, place: Place | undefined): number {
    const at = this.position
    const length = this.varint(end, place)
    const left = end - this.position
    if (length > left) {
      const reason = `a declared length of ${length} bytes is more than the ${left} that are left`
      this.fail(end === this.size ? `${reason}: the file is cut off or damaged` : reason, place, at)
    }
    return length
  }

  /** Moves past the value of a field. @returns the payload's length for length-delimited ones, else 0. */
  skip(wireType: number, end: number, place: Place | undefined): number {
    switch (wireType) {
      case WIRE_VARINT:
        this.varint(end, place)
        return 0
      case WIRE_FIXED64:
        return this.#advance(8, end, place)
      case WIRE_FIXED32:
        return this.#advance(4, end, place)
      case WIRE_BYTES: {
        const length = this.length(end, place)
        this.position += length
        return length
      }
      default:
        return this.fail(`unknown wire type ${wireType}`, place)
    }
  }

  #advance(count: number, end: number, place: Place | undefined): number {
    if (count > end - this.position) this.fail('a field runs past the end of its message', place)
    this.position += count
    return 0
  }
}

/** `value` as a base-128 number. */
export function encodeVarint(value: number): number[] {
  const out: number[] = []
  let rest = value
  while (rest > 127) {
    out.push((rest % 128) | 0x80)
    rest = Math.floor(rest / 128)
  }
  out.push(rest)
  return out
}

/** The bytes that precede a length-delimited field's payload. */
export function encodeHeader(field: number, length: number): Uint8Array {
  return Uint8Array.from([...encodeVarint(field * 8 + WIRE_BYTES), ...encodeVarint(length)])
}

/** A length-delimited field with its payload, as chunks. */
export function encodeField(field: number, payload: Uint8Array): [Uint8Array, Uint8Array] {
  return [encodeHeader(field, payload.length), payload]
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
