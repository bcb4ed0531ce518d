/** Frames of Zstandard from peers, by each library that may be behind the codecs: a result of the right size, or an error of ours. */
import { describe, expect, it } from 'vitest'
import { Zstandard, type ZstdLibrary } from '../../shared/codec/zstandard.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { hasNodeZstd, nodeZstd, packageZstd } from '../../shared/platform/zstd-libraries.ts'
import { randomFrom } from '../support/random.ts'

if (!hasNodeZstd) console.log(`skipped: Node ${process.version} has no Zstandard of its own (from 22.15 on)`)

const LIBRARIES = [
  { name: "Node's own library", load: nodeZstd, skip: !hasNodeZstd },
  { name: 'the package', load: packageZstd, skip: false },
]
const SEED = 7
const MUTATIONS = 4000

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd]
/** Compressible, and of several blocks. */
const plain = Uint8Array.from({ length: 300_000 }, (_, index) => ((index * index) % 251) & (index >> 9))
const SIZES = [0, 1, 255, 256, 65_791, 65_792, 131_072, 131_073, plain.byteLength]

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'nothing was thrown'
  } catch (thrown) {
    return thrown instanceof ScissionError ? thrown.code : `not ours: ${String(thrown)}`
  }
}

describe.each(LIBRARIES)('with $name', ({ load, skip }) => {
  const zstd = new Zstandard(load)

  it.skipIf(skip)('what is packed comes out as it was, whichever library unpacks it', () => {
    for (const { load: other, skip: absent } of LIBRARIES) {
      if (absent) continue
      const receiver = new Zstandard(other)
      for (const size of SIZES) {
        const bytes = plain.subarray(0, size)
        expect(Buffer.compare(receiver.unpack(zstd.pack(bytes), size), bytes)).toBe(0)
      }
    }
  })

  it.skipIf(skip)('a frame that is cut off anywhere is refused', () => {
    const packed = zstd.pack(plain)
    const cuts = [
      ...Array.from({ length: 32 }, (_, index) => index),
      packed.byteLength >> 1,
      packed.byteLength - 1,
    ]
    for (const cut of cuts)
      expect([cut, codeOf(() => zstd.unpack(packed.subarray(0, cut), plain.byteLength))]).toEqual([
        cut,
        'invalidTensor',
      ])
  })

  it.skipIf(skip)('a frame whose bytes were changed is refused, or has the right size', () => {
    const random = randomFrom(SEED)
    const below = (limit: number) => Math.floor(random() * limit)
    const outcomes = new Set<string>()
    for (const size of [300, plain.byteLength]) {
      const packed = zstd.pack(plain.subarray(0, size))
      for (let round = 0; round < MUTATIONS; round += 1) {
        const changed = new Uint8Array(packed)
        // Half of them in the headers.
        for (let flips = 1 + below(4); flips > 0; flips -= 1) {
          const at = below(round % 2 === 0 ? 24 : changed.byteLength) % changed.byteLength
          changed[at] = (changed[at] ?? 0) ^ (1 << below(8))
        }
        const outcome = codeOf(() => expect(zstd.unpack(changed, size)).toHaveLength(size))
        outcomes.add(outcome)
        expect(outcome, `round ${round}`).toMatch(/^(nothing was thrown|invalidTensor)$/)
      }
    }
    expect([...outcomes]).toContain('invalidTensor')
  })
})

describe('before a library sees it', () => {
  const asked: ZstdLibrary = {
    compress: (bytes) => bytes,
    decompress: () => {
      throw new Error('the library was asked')
    },
  }
  const zstd = new Zstandard(() => asked)
  /** One raw block of four bytes. */
  const BLOCK = [(4 << 3) | 1, 0, 0, 1, 2, 3, 4]
  const frame = (...header: number[]) => Uint8Array.from([...MAGIC, ...header, ...BLOCK])

  const HOSTILE: [string, Uint8Array, RegExp][] = [
    ['a window of 3.75 TiB', frame(0x00, 0xff), /wants a window of 4123168604160 bytes, at most 8388608/],
    ['a window just above the most', frame(0x00, (13 << 3) | 1), /wants a window of 9437184 bytes/],
    [
      'a content of 2^64 - 1 bytes',
      frame(0xc0, 0x48, ...Array(8).fill(0xff)),
      /says that it holds 18446744073709551615 bytes/,
    ],
    [
      'a content of 4 GiB in a single segment',
      frame(0xa0, 0xff, 0xff, 0xff, 0xff),
      /says that it holds 4294967295 bytes/,
    ],
    ['a content of fewer bytes', frame(0x20, 3), /says that it holds 3 bytes, the tensor takes 4/],
    ['a dictionary', frame(0x01, 0x48, 9), /wants a dictionary/],
    ['a reserved bit', frame(0x08, 0x48), /reserved bit/],
    [
      'a block of a reserved type',
      Uint8Array.from([...MAGIC, 0x20, 4, (4 << 3) | 7, 0, 0, 1, 2, 3, 4]),
      /block of its frame is not valid/,
    ],
    [
      'a block longer than blocks are',
      Uint8Array.from([...MAGIC, 0x20, 4, 0xf9, 0xff, 0xff]),
      /block of its frame is not valid/,
    ],
    ['a header without its sizes', Uint8Array.from([...MAGIC, 0xe0, 1]), /ends too early/],
    [
      'a skippable frame',
      Uint8Array.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
      /does not begin as a frame/,
    ],
    ['nothing', new Uint8Array(), /does not begin as a frame/],
  ]
  it.each(HOSTILE)('a frame with %s is refused', (_what, bytes, message) => {
    expect(codeOf(() => zstd.unpack(bytes, 4))).toBe('invalidTensor')
    expect(() => zstd.unpack(bytes, 4)).toThrow(message)
  })

  it.each([
    ['declares its content', frame(0x20, 4)],
    ['has the largest window', frame(0x00, 13 << 3)],
  ])('a frame that %s passes', (_what, bytes) => {
    expect(() => zstd.unpack(bytes, 4)).toThrow(/the library was asked/)
  })
})
