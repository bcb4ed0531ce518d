/** Damages bytes, one to six times in a row, as broken programs, cut lines and hostile people do. */
import type { Draw } from './draw.ts'

/** No input grows longer by damage than this. */
const MAX_INPUT_BYTES = 256 * 1024

/** Where sizes and signs change. */
const EDGES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x1_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1f_ffff_ffff_ffffn,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
]
const TEXTS = [
  '\0',
  '\r\n',
  '\r\n\r\n',
  '"',
  '{',
  '[',
  '\\',
  '\\ud800',
  '\\u0000',
  '-0',
  '1e999',
  '9'.repeat(400),
  'null',
  'NaN',
  '__proto__',
  '../',
  '%00',
  '%',
  '%ff',
  ',',
  ':',
  ';',
  '\xff\xfe',
  '\u2028',
  '{"a":'.repeat(50),
  '['.repeat(2000),
  ' '.repeat(300),
]

type Damage = (bytes: Buffer, draw: Draw, others: readonly Uint8Array[]) => Buffer

/** Replaces bytes: all of them keep their places if `dropped` is as long as what is put in. */
const spliced = (bytes: Buffer, at: number, dropped: number, put: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + dropped)])

/** Structure sits at the beginning and at the end: half of the places are near them. */
function place(bytes: Buffer, draw: Draw): number {
  const near = Math.min(bytes.length, 200)
  const from = draw.below(4)
  if (from === 0) return draw.below(near)
  if (from === 1) return bytes.length - near + draw.below(near)
  return draw.below(bytes.length)
}

function integer(draw: Draw): Buffer {
  const whole = Buffer.alloc(8)
  whole.writeBigUInt64LE(draw.pick(EDGES))
  const part = Buffer.from(whole.subarray(0, draw.pick([1, 2, 4, 8])))
  return draw.chance(0.5) ? part : part.reverse()
}

/** A length of protobuf that is larger than anything behind it. */
const varint = (draw: Draw): Buffer =>
  draw.pick([
    Buffer.from('ffffffff07', 'hex'),
    Buffer.from('ffffffff0f', 'hex'),
    Buffer.from('ffffffffffffffffff01', 'hex'),
    Buffer.from('ffffffffffffffff7f', 'hex'),
    Buffer.from('808004', 'hex'),
    Buffer.from('ffffffffffffffffffffff', 'hex'),
  ])

/** A number written in digits becomes another one. */
const digits: Damage = (bytes, draw) => {
  const found = [...bytes.toString('latin1').matchAll(/-?\d+(\.\d+)?/g)]
  if (found.length === 0) return bytes
  const { index, 0: text } = draw.pick(found)
  const number = draw.pick([
    String(draw.pick(EDGES)),
    `-${draw.pick(EDGES)}`,
    '0.5',
    '1e400',
    `${text}0`,
    '00',
    '',
  ])
  return spliced(bytes, index, text.length, Buffer.from(number))
}

const repeated: Damage = (bytes, draw) => {
  const at = place(bytes, draw)
  const block = bytes.subarray(at, at + 1 + draw.below(64))
  return spliced(bytes, at, 0, Buffer.concat(Array.from({ length: 1 + draw.below(400) }, () => block)))
}

const joined: Damage = (bytes, draw, others) => {
  const other = draw.pick(others)
  return Buffer.concat([bytes.subarray(0, place(bytes, draw)), other.subarray(draw.below(other.length))])
}

const DAMAGES: readonly Damage[] = [
  (bytes, draw) => {
    const at = place(bytes, draw)
    return spliced(bytes, at, 1, Uint8Array.of((bytes[at] ?? 0) ^ (1 << draw.below(8))))
  },
  (bytes, draw) => spliced(bytes, place(bytes, draw), 1, Uint8Array.of(draw.below(256))),
  (bytes, draw) =>
    spliced(
      bytes,
      place(bytes, draw),
      0,
      Buffer.from(Array.from({ length: 1 + draw.below(16) }, () => draw.below(256))),
    ),
  (bytes, draw) =>
    spliced(bytes, place(bytes, draw), 1 + draw.below(draw.chance(0.2) ? 400 : 8), Buffer.alloc(0)),
  (bytes, draw) => bytes.subarray(0, place(bytes, draw)),
  (bytes, draw) => spliced(bytes, place(bytes, draw), 0, Buffer.from(draw.pick(TEXTS), 'latin1')),
  (bytes, draw) => {
    const put = integer(draw)
    return spliced(bytes, place(bytes, draw), put.length, put)
  },
  (bytes, draw) => spliced(bytes, place(bytes, draw), 1, varint(draw)),
  digits,
  repeated,
  joined,
]

/** @param others what pieces are taken from. @returns new memory. */
export function mutate(seed: Uint8Array, draw: Draw, others: readonly Uint8Array[]): Buffer {
  let bytes: Buffer = Buffer.from(seed)
  for (let left = 1 + draw.below(draw.chance(0.3) ? 6 : 2); left > 0; left -= 1)
    bytes = draw.pick(DAMAGES)(bytes, draw, others)
  return Buffer.from(bytes.subarray(0, MAX_INPUT_BYTES))
}
