import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTensorCodecs, type CodedTensor, declaredForm } from '../../shared/codec/index.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { availableCodecs, decodeTensor, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { floatTensor, SEED } from './support.ts'

const MAX_BYTES = 1e7
const tensor = floatTensor(
  [1, 4, 30, 30],
  Array.from({ length: 3600 }, (_, index) => Math.max(0, Math.sin(index))),
)
const lossy = availableCodecs().filter((name) => name !== 'none')

function changed(codec: string, changes: (encoded: CodedTensor) => Partial<CodedTensor>): CodedTensor {
  const encoded = encodeTensor(tensor, codec)
  return { ...encoded, ...changes(encoded) }
}

const withParameter = (key: string, value: string | number) => (encoded: CodedTensor) => ({
  parameters: { ...encoded.parameters, [key]: value },
})

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'nothing was thrown'
  } catch (thrown) {
    return thrown instanceof ScissionError ? thrown.code : `not ours: ${String(thrown)}`
  }
}

describe('without a Zstandard library', () => {
  const codecs = createTensorCodecs(() => {
    throw new Error('no binary for this platform')
  })

  it('codecs with zstd are not offered, and refused with the reason', () => {
    expect(codecs.availableCodecs()).toEqual(availableCodecs().filter((name) => !name.includes('zstd')))
    const zstd = encodeTensor(tensor, 'q8-zstd')
    for (const work of [
      () => codecs.encodeTensor(tensor, 'q8-zstd'),
      () => codecs.decodeTensor(zstd, MAX_BYTES),
    ]) {
      expect(codeOf(work)).toBe('unsupportedEncoding')
      expect(work).toThrow('no Zstandard library (no binary for this platform); use a codec without -zstd')
    }
  })

  it('all others give the same bytes', () => {
    for (const name of codecs.availableCodecs())
      expect(codecs.encodeTensor(tensor, name)).toEqual(encodeTensor(tensor, name))
  })
})

describe('a receiver', () => {
  it('refuses a codec that it does not know, and names those that it knows', () => {
    for (const name of ['q3', 'brotli', 'None', '', 'q8-lz4', 'x'.repeat(5000)])
      expect(
        codeOf(() => decodeTensor(changed('q8', withParameter('scission_codec', name)), MAX_BYTES)),
      ).toBe('invalidTensor')
    expect(() => decodeTensor(changed('q8', withParameter('scission_codec', 'q3')), MAX_BYTES)).toThrow(
      /codecs are .*q4c/,
    )
  })

  it('refuses a shape that only looks like JSON', () => {
    for (const shape of ['[1,04,30,30]', '[1,4,\u00a030,30]', '[1,4,\v30,30]', '[00]', '[1,4,30,30]\ufeff']) {
      const odd = changed('q8', withParameter('scission_shape', shape))
      for (const read of [() => decodeTensor(odd, MAX_BYTES), () => declaredForm(odd)])
        expect([shape, codeOf(read)]).toEqual([shape, 'invalidTensor'])
    }
  })

  it('refuses a length that does not fit the shape', () => {
    for (const codec of lossy) {
      for (const shape of ['[1,4,30,31]', '[1,4,30,29]', '[]', '[3600]', '[1,0]', '[1,8,30,30]']) {
        const lying = changed(codec, withParameter('scission_shape', shape))
        // The bytes cannot contradict a shape with the same number of elements, unless its channels differ.
        const fits = shape === '[3600]' && !/^q\dc/.test(codec)
        expect([codec, shape, codeOf(() => decodeTensor(lying, MAX_BYTES))]).toEqual([
          codec,
          shape,
          fits ? 'nothing was thrown' : 'invalidTensor',
        ])
      }
    }
  })

  it('refuses bytes that were cut off or added to', () => {
    for (const codec of lossy) {
      for (const change of [-1, 1, -100]) {
        const lying = changed(codec, ({ bytes }) => {
          const other = new Uint8Array(bytes.byteLength + change)
          other.set(bytes.subarray(0, other.byteLength))
          return { bytes: other, shape: [other.byteLength] }
        })
        expect([codec, change, codeOf(() => decodeTensor(lying, MAX_BYTES))]).toEqual([
          codec,
          change,
          'invalidTensor',
        ])
      }
    }
  })

  it('refuses shapes and datatypes that are none', () => {
    for (const shape of [
      '',
      '1,2',
      '[-1]',
      '[1.5]',
      '[1e3]',
      '{"a":1}',
      `[${'1,'.repeat(50)}1]`,
      '[999999999999999,99]',
    ])
      expect(
        codeOf(() => decodeTensor(changed('q8', withParameter('scission_shape', shape)), MAX_BYTES)),
      ).toBe('invalidTensor')
    for (const datatype of ['FP31', 'BYTES', 'INT8', 'constructor'])
      expect(
        codeOf(() => decodeTensor(changed('q8', withParameter('scission_datatype', datatype)), MAX_BYTES)),
      ).toBe('invalidTensor')
    expect(
      codeOf(() =>
        decodeTensor(
          changed('q8', () => ({ datatype: 'INT8' })),
          MAX_BYTES,
        ),
      ),
    ).toBe('invalidTensor')
  })

  it('refuses to make more bytes than it may, before it makes any', () => {
    const bomb = changed('q2-zstd', withParameter('scission_shape', '[100000,100000,10]'))
    expect(codeOf(() => decodeTensor(bomb, MAX_BYTES))).toBe('payloadTooLarge')
  })

  it('refuses ranges that are not finite or upside down', () => {
    for (const [low, high] of [
      [Number.NaN, 1],
      [0, Number.POSITIVE_INFINITY],
      [2, 1],
    ]) {
      const lying = changed('q8', ({ bytes }) => {
        const other = new Uint8Array(bytes)
        other.set(new Uint8Array(Float32Array.of(low ?? 0, high ?? 0).buffer))
        return { bytes: other }
      })
      expect(codeOf(() => decodeTensor(lying, MAX_BYTES))).toBe('invalidTensor')
    }
  })

  it('survives any bytes: an answer or an error of ours', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...lossy),
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.nat(400),
        (codec, noise, at) => {
          const damaged = changed(codec, ({ bytes }) => {
            const other = new Uint8Array(bytes)
            other.set(noise.subarray(0, Math.max(0, other.byteLength - at)), Math.min(at, other.byteLength))
            return { bytes: other }
          })
          expect(codeOf(() => decodeTensor(damaged, MAX_BYTES))).toMatch(/nothing was thrown|invalidTensor/)
        },
      ),
      { ...SEED, numRuns: 1500 },
    )
  })
})

describe('a packed tensor', () => {
  const MAGIC = [0x28, 0xb5, 0x2f, 0xfd]
  /** RFC 8878: a frame of `count` RLE blocks, each of 128 KiB from one byte. */
  function bomb(count: number): Uint8Array {
    const blocks = Array.from({ length: count }, (_, index) => {
      const header = ((128 * 1024) << 3) | (1 << 1) | (index === count - 1 ? 1 : 0)
      return [header & 255, (header >> 8) & 255, (header >> 16) & 255, 7]
    })
    return Uint8Array.from([...MAGIC, 0x00, 0x48, ...blocks.flat()])
  }
  const carrying = (bytes: Uint8Array): CodedTensor => ({
    name: 't',
    datatype: 'UINT8',
    shape: [bytes.byteLength],
    bytes,
    parameters: { scission_codec: 'zstd', scission_datatype: 'UINT8', scission_shape: `[${128 * 1024}]` },
  })

  it('comes out when its frame is right', () => {
    expect(decodeTensor(carrying(bomb(1)), MAX_BYTES).bytes).toEqual(new Uint8Array(128 * 1024).fill(7))
  })

  it('is refused unopened when its blocks could hold more than the tensor', () => {
    const before = process.memoryUsage().rss
    expect(() => decodeTensor(carrying(bomb(20_000)), MAX_BYTES)).toThrow(/holds more than/)
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6)
  })

  it('is refused when a second frame follows the first', () => {
    const [one, two] = [bomb(1), bomb(1)]
    expect(() => decodeTensor(carrying(Uint8Array.from([...one, ...two])), MAX_BYTES)).toThrow(
      /does not end where/,
    )
  })
})
