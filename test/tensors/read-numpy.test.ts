/** NumPy's files against the format's own text, and against whoever sends something else under their name. */
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DATATYPES } from '../../shared/contracts/common.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { isNpy, isNpz, readNpy, readNpz } from '../../shared/tensors/read-numpy.ts'
import { countElements, decodeElements } from '../../shared/oip/bytes-elements.ts'
import { npyFile, npyOf, npzOf } from '../support/numpy.ts'

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

  it('gives its arrays by name, packed or not', () => {
    for (const packed of [false, true]) {
      const zip = npzOf({ 'x.npy': first, 'folder/ä.npy': second }, packed)
      expect(isNpz(zip)).toBe(true)
      const arrays = readNpz(zip, 'f', LIMIT)
      expect([...arrays].map(([name, { datatype }]) => [name, datatype])).toEqual([
        ['x', 'FP32'],
        ['folder/ä', 'INT64'],
      ])
    }
  })

  it('may not unpack to more than the limit', () => {
    const bomb = npzOf({ 'x.npy': Buffer.concat([first, Buffer.alloc(2e6)]) }, true)
    expect(bomb.length).toBeLessThan(10_000)
    expect(failure(() => readNpz(bomb, 'f', LIMIT))?.status).toBe(413)
  })

  it('may not unpack to more than it says, nor say less than it holds', () => {
    const content = Buffer.concat([first, Buffer.alloc(2e6)])
    for (const packed of [true, false]) {
      const zip = npzOf({ 'x.npy': content }, packed)
      // The size in the archive's directory, whose entry is before the end record of 22 bytes.
      zip.writeUInt32LE(first.length, zip.length - 22 - 'x.npy'.length - 46 + 24)
      expect(failure(() => readNpz(zip, 'f', LIMIT))?.status).toBe(packed ? 400 : 413)
    }
  })

  it('has its files and the folders in their names counted before they take memory', () => {
    const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`${index}.npy`, first]))
    const refusals: [Record<string, Buffer>, RegExp][] = [
      [many, /f: it holds 10001 files, at most 10000 are read/],
      [{ [`${'a/'.repeat(17)}x.npy`]: first }, /a name in it has 39 bytes; .*16 folders/],
    ]
    for (const [files, reason] of refusals) {
      const error = failure(() => readNpz(npzOf(files, true), 'f', LIMIT))
      expect([error?.status, error?.message]).toEqual([400, expect.stringMatching(reason)])
    }
    // Exporters write names of tens of thousands of characters.
    for (const name of [`${'a/'.repeat(16)}x`, 'x'.repeat(63_000)])
      expect([...readNpz(npzOf({ [`${name}.npy`]: first }, true), 'f', LIMIT).keys()]).toEqual([name])
  })

  it('that is damaged anywhere is refused in order, or read', () => {
    const zip = npzOf({ 'x.npy': first, 'y.npy': second }, true)
    fc.assert(
      fc.property(fc.nat(zip.length - 1), fc.nat(255), fc.nat(zip.length), (at, value, length) => {
        const damaged = Buffer.from(zip)
        damaged[at] = value
        for (const bytes of [damaged, zip.subarray(0, length)]) {
          const error = failure(() => readNpz(bytes, 'f', LIMIT))
          expect([undefined, 400, 413]).toContain(error?.status)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('packed by another method is refused', () => {
    const zip = npzOf({ 'x.npy': deflateRawSync(first) }, false, 12)
    expect(failure(() => readNpz(zip, 'f', LIMIT))?.message).toMatch(/method 12; save with numpy.savez/)
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

  it('is refused if one text that it names again and again takes more than the limit', () => {
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
    expect(failure(() => readNpz(npzOf({ 'x.npy': file }, true), 'f', 10_000))?.status).toBe(413)
  })
})
