/** NumPy's files against the format's own text, and against whoever sends something else under their name. */
import { randomBytes } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DATATYPES } from '../../shared/contracts/common.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { isNpy, isNpz, readNpy, readNpz } from '../../shared/tensors/read-numpy.ts'
import { countElements, decodeElements } from '../../shared/oip/bytes-elements.ts'
import { npyFile, npyOf, npzOf, withComment, zip64Of } from '../support/numpy.ts'

const array = fc.record({
  datatype: fc.constantFrom(...DATATYPES.filter((one) => one !== 'BYTES' && one !== 'BF16')),
  shape: fc.array(fc.nat(4), { maxLength: 4 }),
  version: fc.constantFrom(1, 2, 3),
})
const LIMIT = 1e6
const failure = (work: () => unknown): ScissionError | undefined => {
  try {
    work()
    return undefined
  } catch (thrown) {
    if (thrown instanceof ScissionError) return thrown
    throw thrown
  }
}
const unzipFailure = async (zip: Buffer, limitBytes = LIMIT): Promise<ScissionError | undefined> => {
  try {
    await readNpz(zip, 'f', limitBytes)
    return undefined
  } catch (thrown) {
    if (thrown instanceof ScissionError) return thrown
    throw thrown
  }
}

const product = (dims: readonly number[]) => dims.reduce((all, dim) => all * dim, 1)

describe('a .npy file', () => {
  it('gives its array, whatever its type, shape and version', () => {
    fc.assert(
      fc.property(array, ({ datatype, shape, version }) => {
        const { file, bytes } = npyOf(datatype, shape, version)
        expect(isNpy(file)).toBe(true)
        const read = readNpy(file, 'x')
        expect([read.datatype, read.shape]).toEqual([datatype, shape])
        expect(Buffer.from(read.bytes)).toEqual(Buffer.from(bytes))
      }),
    )
  })

  it('of big-endian numbers, and in the order of Fortran, gives the same array', () => {
    const shapes = fc.array(fc.nat(4), { minLength: 1, maxLength: 4 })
    const kinds = fc.constantFrom(
      ['>u2', 'UINT16', 2],
      ['>i4', 'INT32', 4],
      ['>f4', 'FP32', 4],
      ['>f8', 'FP64', 8],
    )
    fc.assert(
      fc.property(
        kinds,
        shapes,
        fc.boolean(),
        fc.boolean(),
        ([descr, datatype, size], shape, isBig, isFortran) => {
          const count = shape.reduce((product, dim) => product * dim, 1)
          const bytes = Uint8Array.from({ length: count * size }, (_, at) => (at * 37) % 251)
          const elements = Array.from({ length: count }, (_, at) => bytes.slice(at * size, (at + 1) * size))
          // Where the element of the row order stands in that of columns, from its indices.
          const byColumns = [...elements]
          for (const [at, element] of elements.entries()) {
            const indices = shape.map((dim, axis) => Math.floor(at / product(shape.slice(axis + 1))) % dim)
            const place = indices.reduce((sum, index, axis) => sum + index * product(shape.slice(0, axis)), 0)
            byColumns[place] = element
          }
          const written = (isFortran ? byColumns : elements).flatMap((one) => [
            ...(isBig ? one.toReversed() : one),
          ])
          const file = npyFile(isBig ? descr : descr.replace('>', '='), shape, Uint8Array.from(written))
          const named = isFortran
            ? Buffer.from(file.toString('latin1').replace('False', 'True '), 'latin1')
            : file
          const read = readNpy(named, 'x')
          expect([read.datatype, read.shape, Buffer.from(read.bytes)]).toEqual([
            datatype,
            shape,
            Buffer.from(bytes),
          ])
        },
      ),
    )
  })

  it('is read as numpy.save writes it', () => {
    // numpy 1.26: numpy.save(f, numpy.array([[1, 2, 3]], dtype='<i2'))
    const header = "{'descr': '<i2', 'fortran_order': False, 'shape': (1, 3), }"
    const file = Buffer.concat([
      Buffer.from('934e554d505901007600', 'hex'),
      Buffer.from(`${header.padEnd(117)}\n`),
      Buffer.from('010002000300', 'hex'),
    ])
    expect(file.length).toBe(128 + 6)
    expect(readNpy(file, 'x')).toMatchObject({ datatype: 'INT16', shape: [1, 3] })
  })

  it('that is not what it says is refused, naming what it was for', () => {
    const { file } = npyOf('FP32', [2, 3], 1)
    const changed = (from: string, to: string) =>
      Buffer.from(file.toString('latin1').replace(from, to), 'latin1')
    const refusals: [Buffer, RegExp][] = [
      [Buffer.from('hello'), /x: it is no .npy file/],
      [file.subarray(0, 8), /ends in its header/],
      [file.subarray(0, 40), /ends in its header/],
      [file.subarray(0, -1), /takes 24 bytes, 23 follow/],
      [Buffer.concat([file, Buffer.of(0)]), /takes 24 bytes, 25 follow/],
      [changed('<f4', '>c4'), /NumPy type >c4 is not taken/],
      [changed('<f4', '|V4'), /NumPy type \|V4/],
      [changed('(2, 3)', '(-2, 3'), /header of the .npy file cannot be read/],
      [changed('(2, 3)', '(99999999999999999999, 3)'), /too many elements/],
    ]
    for (const [bytes, reason] of refusals) {
      const error = failure(() => readNpy(bytes, 'x'))
      expect([error?.status, error?.message]).toEqual([400, expect.stringMatching(reason)])
    }
  })
})

describe('a .npy file of texts', () => {
  // numpy 2.4: the data after the header.
  const written = {
    '<U4': 'cgAAAG8AAAB0AAAAAAAAAGcAAAByAAAA/AAAAG4AAAAAAAAAAAAAAAAAAAAAAAAAeAAAAAAAAAB5AAAAAAAAAA==',
    '|S2': 'YWJjAA==',
    '|O':
      'gASVmgAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChL' +
      'AUsCSwGGlGgDjAVkdHlwZZSTlIwCTziUiYiHlFKUKEsDjAF8lE5OTkr/////Sv////9LP3SUYoldlCiMB8WBw7NkxbqUjAFilGV0lGIu',
    number:
      'gASVkAAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChL' +
      'AUsChZRoA4wFZHR5cGWUk5SMAk84lImIh5RSlChLA4wBfJROTk5K/////0r/////Sz90lGKJXZQoSwGMAWGUZXSUYi4=',
  }
  const file = (descr: string, shape: number[], data: string) =>
    npyFile(descr, shape, Buffer.from(data, 'base64'))
  const textsOf = (bytes: Buffer) => {
    const array = readNpy(bytes, 'x')
    expect(array.datatype).toBe('BYTES')
    return decodeElements(array.bytes, 'x').map((element) => Buffer.from(element).toString())
  }

  it('gives them, of whatever type they are', () => {
    expect(textsOf(file('<U4', [2, 2], written['<U4']))).toEqual(['rot', 'grün', '', 'x\0y'])
    expect(textsOf(file('|S2', [2], written['|S2']))).toEqual(['ab', 'c'])
    expect(textsOf(file('|O', [2, 1], written['|O']))).toEqual(['Łódź', 'b'])
    expect(textsOf(file('<U0', [3], ''))).toEqual(['', '', ''])
  })

  it('that holds something else is refused', () => {
    const refusals: [Buffer, RegExp][] = [
      [file('|O', [2], written.number), /element 0 of its objects is no text; .*dtype=str/],
      [file('|O', [3, 1], written['|O']), /3 elements, 2 texts are pickled/],
      // cos, system: what a hostile pickle would call.
      [npyFile('|O', [1], Buffer.from("cos\nsystem\n(S'echo'\ntR.")), /not only texts/],
      [file('<U4', [2, 3], written['<U4']), /takes 96 bytes, 64 follow/],
      [
        Buffer.from(
          file('<U4', [2, 2], written['<U4']).toString('latin1').replace('False', 'True '),
          'latin1',
        ),
        /texts are in the order of Fortran/,
      ],
      [npyFile('<U1', [1], Buffer.from('ffffffff', 'hex')), /a character that does not exist/],
    ]
    for (const [bytes, reason] of refusals) {
      const error = failure(() => readNpy(bytes, 'x'))
      expect([error?.status, error?.message]).toEqual([400, expect.stringMatching(reason)])
    }
  })

  it('that is damaged anywhere is refused in order, or read', () => {
    const pickle = file('|O', [2, 1], written['|O'])
    fc.assert(
      fc.property(fc.nat(pickle.length - 129), fc.nat(255), fc.nat(pickle.length), (at, value, length) => {
        const damaged = Buffer.from(pickle)
        damaged[at + 128] = value
        for (const bytes of [damaged, pickle.subarray(0, length)])
          expect([undefined, 400]).toContain(failure(() => readNpy(bytes, 'x'))?.status)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a .npz file', () => {
  const first = npyOf('FP32', [2], 1).file
  const second = npyOf('INT64', [], 1).file
  /** Where the directory's entry of the last file begins, in an archive without comments. */
  const lastEntry = (zip: Buffer, name: string) => zip.length - 22 - name.length - 46

  it('gives its arrays by name, packed or not', async () => {
    const large = npyOf('FP32', [50_000], 1).file
    for (const packed of [false, true]) {
      const zip = npzOf({ 'x.npy': first, 'folder/ä.npy': second, 'large.npy': large }, packed)
      expect(isNpz(zip)).toBe(true)
      const arrays = await readNpz(zip, 'f', LIMIT)
      expect([...arrays].map(([name, { datatype }]) => [name, datatype])).toEqual([
        ['x', 'FP32'],
        ['folder/ä', 'INT64'],
        ['large', 'FP32'],
      ])
      expect(large.subarray(128).equals(arrays.get('large')?.bytes ?? Buffer.of())).toBe(true)
      // Of an array that is sent on, the archive is not sent with it.
      for (const { bytes } of arrays.values())
        expect(bytes.buffer.byteLength).toBeLessThan(zip.length + large.length)
      for (const { bytes } of arrays.values()) expect(bytes.buffer).not.toBe(zip.buffer)
    }
  })

  it('is read with sizes of 64 bits, as numpy writes them, and with a comment behind it', async () => {
    for (const packed of [false, true])
      for (const zip of [zip64Of('x.npy', first, packed), withComment(npzOf({ 'x.npy': first }, packed))])
        expect((await readNpz(zip, 'f', LIMIT)).get('x')).toMatchObject({ datatype: 'FP32', shape: [2] })
  })

  it('with sizes of 64 bits that cannot be is refused', async () => {
    const zip = zip64Of('x.npy', first, true)
    const record = zip.length - 22 - 20 - 56
    const longs = record - 24
    const refusals: [number, number, RegExp][] = [
      [record + 32, 400, /holds \d+ files, at most 10000 are read/],
      [record + 48, 400, /cannot be read: entry 0 of its directory: unexpected EOF/],
      [record + 56 + 8, 400, /cannot be read: its directory: unexpected EOF/],
      [longs, 413, /its arrays take more than/],
      [longs + 8, 400, /cannot be read: x.npy: file data overflows/],
      [longs + 16, 400, /cannot be read: x.npy: unexpected EOF/],
    ]
    for (const [at, status, message] of refusals)
      for (const value of [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n + 1n, 2n ** 40n]) {
        const damaged = Buffer.from(zip)
        damaged.writeBigUInt64LE(value, at)
        const error = await unzipFailure(damaged)
        expect([error?.status, error?.message]).toEqual([status, expect.stringMatching(message)])
      }
  })

  it('whose files reach beyond its end, or are not where it says, is refused', async () => {
    const zip = npzOf({ 'x.npy': first }, true)
    const entry = lastEntry(zip, 'x.npy')
    const refusals: [number, number, RegExp][] = [
      [entry + 20, zip.length, /cannot be read: x.npy: file data overflows file bounds/],
      [entry + 42, zip.length, /cannot be read: x.npy: unexpected EOF/],
      [entry + 42, 1, /cannot be read: x.npy: invalid local file header signature/],
      [entry, 0, /cannot be read: entry 0 of its directory: invalid central directory file header/],
      [zip.length - 22 + 16, zip.length, /cannot be read: entry 0 of its directory: unexpected EOF/],
      [
        zip.length - 22,
        0,
        /cannot be read: its directory: End of central directory record signature not found/,
      ],
    ]
    for (const [at, value, message] of refusals) {
      const damaged = Buffer.from(zip)
      damaged.writeUInt32LE(value, at)
      const error = await unzipFailure(damaged)
      expect([error?.status, error?.message]).toEqual([400, expect.stringMatching(message)])
    }
  })

  it('that is cut off anywhere is refused', async () => {
    for (const zip of [npzOf({ 'x.npy': first, 'y.npy': second }, true), zip64Of('x.npy', first, false)])
      for (let length = 0; length < zip.length; length += 1)
        expect((await unzipFailure(zip.subarray(0, length)))?.status).toBe(400)
  })

  it('lets others have turns of the event loop while it is read', async () => {
    const tiny = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`${index}.npy`, second]))
    const large = { 'x.npy': npyOf('FP64', [2 ** 20], 1).file }
    for (const [zip, least] of [
      [npzOf(tiny, true), 50],
      [npzOf(large, false), 8],
    ] as const) {
      let turns = 0
      let immediate = setImmediate(function count() {
        turns += 1
        immediate = setImmediate(count)
      })
      try {
        await readNpz(zip, 'f', 2 ** 24)
      } finally {
        clearImmediate(immediate)
      }
      expect(turns).toBeGreaterThanOrEqual(least)
    }
  })

  it('may not unpack to more than the limit', async () => {
    const bomb = npzOf({ 'x.npy': Buffer.concat([first, Buffer.alloc(2e6)]) }, true)
    expect(bomb.length).toBeLessThan(10_000)
    expect((await unzipFailure(bomb))?.status).toBe(413)
    // Nor all of them together, however small each is.
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`${index}.npy`, first]))
    expect((await unzipFailure(npzOf(many, true), 1000 * first.length - 1))?.status).toBe(413)
    expect(await unzipFailure(npzOf(many, true), 1000 * first.length)).toBeUndefined()
  })

  it('may not unpack to another size than it says, smaller or larger', async () => {
    for (const content of [first, npyOf('FP32', [30_000], 1).file])
      for (const packed of [true, false])
        for (const size of [content.length - 1, content.length + 1, 1]) {
          const zip = npzOf({ 'x.npy': content }, packed)
          zip.writeUInt32LE(size, lastEntry(zip, 'x.npy') + 24)
          const error = await unzipFailure(zip, 10 * LIMIT)
          expect([error?.status, error?.message]).toEqual([
            400,
            expect.stringMatching(
              packed ? /does not hold the \d+ bytes that it says/ : /is not packed, and has/,
            ),
          ])
        }
  })

  it('that says more than its bytes can hold is refused before memory is taken', async () => {
    const zip = npzOf({ 'x.npy': first }, true)
    zip.writeUInt32LE(2e9, lastEntry(zip, 'x.npy') + 24)
    expect((await unzipFailure(zip, 4e9))?.message).toMatch(/packed bytes cannot hold the 2000000000/)
  })

  it('whose files share bytes, or have one name, is refused', async () => {
    const zip = npzOf({ 'x.npy': first, 'y.npy': first }, true)
    // The second entry points to the bytes of the first.
    zip.writeUInt32LE(0, lastEntry(zip, 'y.npy') + 42)
    expect((await unzipFailure(zip))?.message).toBe('f: x.npy and y.npy share bytes of the archive')
    const twice = npzOf({ 'x.npy': first, 'y.npy': first }, true)
    twice.write('x', lastEntry(twice, 'y.npy') + 46)
    expect((await unzipFailure(twice))?.message).toBe('f: it holds two arrays named x')
  })

  it('that is encrypted, or damaged where its checksum tells, is refused', async () => {
    const zip = npzOf({ 'x.npy': first }, false)
    zip.writeUInt16LE(1, lastEntry(zip, 'x.npy') + 8)
    expect((await unzipFailure(zip))?.message).toBe('f: x.npy is encrypted')
    zip.writeUInt16LE(0x41, lastEntry(zip, 'x.npy') + 8)
    expect((await unzipFailure(zip))?.message).toMatch(/entry 0 of its directory: strong encryption/)
    const flipped = npzOf({ 'x.npy': first }, false)
    flipped.writeUInt8(255, 30 + 'x.npy'.length + first.length - 1)
    expect((await unzipFailure(flipped))?.message).toMatch(/checksum of x.npy is wrong/)
    // In pieces: what came first counts as well.
    const { file } = npyOf('INT32', [600_000], 1)
    const long = npzOf({ 'x.npy': file }, false)
    expect(await unzipFailure(long, 10 * LIMIT)).toBeUndefined()
    for (const at of [0, file.length / 2, file.length - 1]) {
      const damaged = Buffer.from(long)
      damaged[35 + at] = 255 - (damaged[35 + at] ?? 0)
      expect((await unzipFailure(damaged, 10 * LIMIT))?.message).toMatch(/checksum of x.npy is wrong/)
    }
  })

  it('whose packed bytes are damaged is refused, of a large array too', async () => {
    const { file } = npyOf('INT32', [50_000], 1, randomBytes(200_000))
    const zip = npzOf({ 'x.npy': file }, true)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 35, max: zip.length - 100 }), fc.integer(), async (at, value) => {
        const damaged = Buffer.from(zip)
        damaged.writeInt32LE(value, at)
        expect((await unzipFailure(damaged))?.status).toBe(damaged.equals(zip) ? undefined : 400)
      }),
      { numRuns: 50 },
    )
  })

  it('has its files counted before they take memory, and names of any length', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`${index}.npy`, first]))
    const error = await unzipFailure(npzOf(many, true))
    expect([error?.status, error?.message]).toEqual([400, 'f: it holds 10001 files, at most 10000 are read'])
    // Not by finding them.
    const says = npzOf({ 'x.npy': first }, true)
    says.writeUInt16LE(10_001, says.length - 22 + 10)
    expect((await unzipFailure(says))?.message).toBe(error?.message)
    // Exporters write names of tens of thousands of characters; folders in them cost nothing.
    // They name tensors by paths, too.
    for (const name of [`${'a/'.repeat(31_000)}x`, 'x'.repeat(63_000), '__proto__', '/x', '../x', 'C:\\x'])
      expect([...(await readNpz(npzOf({ [`${name}.npy`]: first }, true), 'f', LIMIT)).keys()]).toEqual([name])
  })

  it('that is damaged anywhere is refused in order, or read', async () => {
    const zips = [npzOf({ 'x.npy': first, 'y.npy': second }, true), zip64Of('x.npy', first, true)]
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...zips),
        fc.nat(500),
        fc.nat(255),
        fc.nat(500),
        async (zip, at, value, length) => {
          const damaged = Buffer.from(zip)
          damaged[at % zip.length] = value
          for (const bytes of [damaged, zip.subarray(0, length % zip.length)]) {
            const error = await unzipFailure(bytes)
            expect([undefined, 400, 413]).toContain(error?.status)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  it('packed by another method is refused', async () => {
    const zip = npzOf({ 'x.npy': deflateRawSync(first) }, false, 12)
    expect((await unzipFailure(zip))?.message).toMatch(/method 12; save with numpy.savez/)
  })
})

describe('a small file of many texts', () => {
  it('is refused if they are empty: any number of them would fit into it', () => {
    for (const descr of ['|S0', '<U0']) {
      const error = failure(() => readNpy(npyFile(descr, [4_000_000_000], new Uint8Array()), 'x'))
      expect(error?.message).toMatch(/at most 1000000 empty ones/)
      expect(readNpy(npyFile(descr, [0], new Uint8Array()), 'x').shape).toEqual([0])
    }
  })

  it('is refused if one text that it names again and again takes more than the limit', async () => {
    const times = 1000
    // An array whose state is (1, (1000,), None, False, [the same text, 1000 times]).
    const pickle = Buffer.concat([
      Buffer.from('\x80\x02cnumpy\nndarray\n)\x81(K\x01M\xe8\x03\x85N\x89](X\xe8\x03\0\0', 'latin1'),
      Buffer.alloc(times, 'a'),
      Buffer.from('q\0', 'latin1'),
      ...Array.from({ length: times - 1 }, () => Buffer.from('h\0', 'latin1')),
      Buffer.from('etb.', 'latin1'),
    ])
    const file = npyFile('|O', [times], pickle)
    expect(countElements(readNpy(file, 'x').bytes, 'x')).toBe(times)
    expect(failure(() => readNpy(file, 'x', 10_000))?.status).toBe(413)
    expect((await unzipFailure(npzOf({ 'x.npy': file }, true), 10_000))?.status).toBe(413)
  })
})
