/**
 * Reads protobuf's wire format from a file with bounded memory: a cursor over a small window that is read with `pread`,
 * so that skipping a payload of hundreds of megabytes costs nothing (553 MB of weights: 3 ms). Every length is checked
 * against the surrounding message before use: a hostile length is an error with its offset, never an allocation.
 */
import fs from 'node:fs'
import { ScissionError } from '../../platform/errors.ts'
import {
  MAX_VARINT_BYTES,
  skipAlike,
  varintLength,
  varintValue,
  WIRE_BYTES,
  WIRE_FIXED32,
  WIRE_FIXED64,
  WIRE_VARINT,
} from './protobuf.ts'

/** Covers a layer's own fields; a larger window only reads bytes of weights that are then skipped. */
const WINDOW_BYTES = 16 * 1024

/** The reader's position in the message tree, from the inside out; converted to text only for an error. */
export interface MessagePath {
  label: string
  index?: number
  parent?: MessagePath | undefined
}

function describePath(path: MessagePath | undefined): string {
  const parts: string[] = []
  for (let at = path; at; at = at.parent)
    parts.unshift(at.index === undefined ? at.label : `${at.label}[${at.index}]`)
  return parts.join('.')
}

/** Reads `length` bytes at `offset`, or fewer if the file ends before. */
export function readUpTo(fd: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let filled = 0; filled < length; ) {
    const read = fs.readSync(fd, bytes, filled, length - filled, offset + filled)
    if (read === 0) return bytes.subarray(0, filled)
    filled += read
  }
  return bytes
}

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

  /** @throws ScissionError invalidModel naming the message and the offset. */
  fail(reason: string, place: MessagePath | undefined, offset = this.position): never {
    const where = describePath(place)
    throw new ScissionError(
      'invalidModel',
      `not a valid ONNX file: ${reason}${where ? ` in ${where}` : ''} (at byte ${offset} of ${this.size})`,
      { offset, place: where },
    )
  }

  /** A copy of `length` bytes at `offset`; does not move the cursor. */
  bytes(offset: number, length: number): Uint8Array {
    const inside = offset - this.#windowStart
    if (inside >= 0 && inside + length <= this.#window.length)
      return this.#window.slice(inside, inside + length)
    const copy = readUpTo(this.#fd, offset, length)
    if (copy.length < length) this.fail('the file ends too early', undefined, offset + copy.length)
    return copy
  }

  /** Moves the window if fewer bytes of it are left than a varint can take. @returns the cursor's place in the window. */
  #fill(): number {
    const inside = this.position - this.#windowStart
    const held = this.#window.length - inside
    if (inside >= 0 && (held >= MAX_VARINT_BYTES || this.#windowStart + this.#window.length === this.size))
      return inside
    this.#window = this.bytes(this.position, Math.min(WINDOW_BYTES, this.size - this.position))
    this.#windowStart = this.position
    return 0
  }

  /** Reads a varint. Inexact above 2^53: lengths are bounded, other numbers are skipped. */
  varint(end: number, place: MessagePath | undefined): number {
    const at = this.#fill()
    const length = varintLength(this.#window, at, end - this.#windowStart)
    if (length === 0) {
      if (end - this.position < MAX_VARINT_BYTES) {
        this.position = end
        this.fail('a field runs past the end of its message', place)
      }
      this.position += MAX_VARINT_BYTES
      this.fail('a number is longer than ten bytes', place)
    }
    this.position += length
    return varintValue(this.#window, at, length)
  }

  /** The length of a length-delimited field, checked to fit in the message that ends at `end`. */
  length(end: number, place: MessagePath | undefined): number {
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
  skip(wireType: number, end: number, place: MessagePath | undefined): number {
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

  /** Moves past the fields that follow and begin with the same tag of one byte: ten times as fast as one by one. */
  skipAlike(tag: number, end: number): void {
    for (;;) {
      const at = this.#fill()
      const last = Math.min(this.#window.length, end - this.#windowStart)
      const after = skipAlike(this.#window, at, tag, [last, end - this.#windowStart])
      if (after === at) return
      this.position = this.#windowStart + after
    }
  }

  #advance(count: number, end: number, place: MessagePath | undefined): number {
    if (count > end - this.position) this.fail('a field runs past the end of its message', place)
    this.position += count
    return 0
  }
}
