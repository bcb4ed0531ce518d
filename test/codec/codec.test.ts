import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codecOf, losesNothing, parseCodec } from '../../shared/codec/index.ts'
import { channelsOf } from '../../shared/codec/linear-quantisation.ts'
import { CodecName } from '../../shared/contracts/calibration.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { availableCodecs, decodeTensor, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { anyTensors, finiteTensors, floatsOf, floatTensor, SEED } from './support.ts'

const MAX_BYTES = 1e9
const there = (tensor: Tensor, codec: string) => decodeTensor(encodeTensor(tensor, codec), MAX_BYTES)

/** A unit in the last place of a float: rounding a result to fp32 may add as much. */
const ulp = (x: number) => Math.max(2 ** -149, Math.abs(x) * 2 ** -23)

function largestStep(tensor: Tensor, codec: string): (index: number) => number {
  const { lossy } = parseCodec(codec)
  if (lossy.kind !== 'linear') return () => 0
  const floats = floatsOf(tensor)
  const { count, run } = channelsOf(tensor.shape, floats.length, lossy.perChannel)
  const low = new Float64Array(count).fill(Number.POSITIVE_INFINITY)
  const high = new Float64Array(count).fill(Number.NEGATIVE_INFINITY)
  floats.forEach((x, index) => {
    const channel = Math.floor(index / run) % count
    low[channel] = Math.min(low[channel] ?? 0, x)
    high[channel] = Math.max(high[channel] ?? 0, x)
  })
  return (index) => {
    const channel = Math.floor(index / run) % count
    return ((high[channel] ?? 0) - (low[channel] ?? 0)) / (2 ** lossy.bits - 1)
  }
}

describe('a codec', () => {
  it('gives back every element within half a step, for all shapes and ranges', () => {
    for (const codec of availableCodecs().filter((name) => name.startsWith('q'))) {
      fc.assert(
        fc.property(finiteTensors, (tensor) => {
          const back = there(tensor, codec)
          expect(back).toMatchObject({ name: 't', datatype: 'FP32', shape: tensor.shape })
          const step = largestStep(tensor, codec)
          const decoded = floatsOf(back)
          floatsOf(tensor).forEach((x, index) => {
            const most = (step(index) / 2) * (1 + 1e-12) + ulp(decoded[index] ?? 0)
            if (Math.abs((decoded[index] ?? Number.NaN) - x) <= most) return
            throw new Error(
              `${codec}: element ${index} was ${x}, came back as ${decoded[index]}, step ${step(index)}`,
            )
          })
        }),
        { ...SEED, numRuns: 60 },
      )
    }
  })

  it('gives back halves to the nearest, ties to even', () => {
    fc.assert(
      fc.property(fc.float({ min: -65_504, max: 65_504, noNaN: true }), (x) => {
        const [decoded = Number.NaN] = floatsOf(there(floatTensor([1, 2], [x, 1]), 'fp16'))
        // A half has 11 significant bits; below 2^-14 halves are multiples of 2^-24.
        const unit = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(x) || 1)) - 10)
        expect(Math.abs(decoded - x)).toBeLessThanOrEqual(unit / 2)
        if (Math.abs(decoded - x) === unit / 2) expect((decoded / unit) % 2).toBeCloseTo(0)
      }),
      { ...SEED, numRuns: 3000 },
    )
  })

  it('never touches what is not FP32, nor tensors with NaN or infinity', () => {
    for (const codec of availableCodecs()) {
      fc.assert(
        fc.property(anyTensors, (tensor) => {
          const odd = tensor.datatype !== 'FP32' || floatsOf(tensor).some((x) => !Number.isFinite(x))
          if (!odd && !losesNothing(codec)) return
          const back = there(tensor, codec)
          expect(back.datatype).toBe(tensor.datatype)
          expect(back.shape).toEqual(tensor.shape)
          expect(Buffer.compare(back.bytes, tensor.bytes)).toBe(0)
        }),
        SEED,
      )
    }
  })

  it('keeps NaN and infinity bit by bit, wherever they are', () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const at of [0, 5, 63, 64, 16_384, 39_998]) {
        const values = new Float32Array(39_999).map((_, index) => index % 11)
        values[at] = odd
        const tensor = floatTensor([1, 3, 13_333], values)
        for (const codec of ['q8', 'q4c', 'fp16', 'q2-zstd'])
          expect(Buffer.compare(there(tensor, codec).bytes, tensor.bytes)).toBe(0)
      }
    }
  })

  it('leaves a tensor whole that fp16 cannot hold', () => {
    const tensor = floatTensor(
      [40],
      Array.from({ length: 40 }, (_, index) => index * 5000),
    )
    expect(encodeTensor(tensor, 'fp16')).toBe(tensor)
    expect(there(tensor, 'fp16-zstd').bytes).toEqual(tensor.bytes)
  })

  it('leaves the given tensor as it was', () => {
    const tensor = floatTensor(
      [1, 4, 20, 20],
      Array.from({ length: 1600 }, (_, index) => Math.sin(index)),
    )
    const before = new Uint8Array(tensor.bytes)
    for (const codec of availableCodecs()) encodeTensor(tensor, codec)
    expect(tensor.bytes).toEqual(before)
  })

  it('says on the wire what was done', () => {
    const tensor = floatTensor(
      [1, 2, 10, 10],
      Array.from({ length: 200 }, (_, index) => index % 5),
    )
    const encoded = encodeTensor(tensor, 'q4c-zstd')
    expect(encoded).toMatchObject({ name: 't', datatype: 'UINT8', shape: [encoded.bytes.byteLength] })
    expect(encoded.parameters).toEqual({
      scission_codec: 'q4c-zstd',
      scission_datatype: 'FP32',
      scission_shape: '[1,2,10,10]',
    })
    expect(codecOf(encoded)).toBe('q4c-zstd')
    expect(codecOf(tensor)).toBeUndefined()
  })

  it('leaves out a part that would make the bytes more', () => {
    const noise = floatTensor(
      [1, 64],
      Array.from({ length: 64 }, (_, index) => Math.sin(index * 1e6)),
    )
    expect(codecOf(encodeTensor(noise, 'q8-zstd'))).toBe('q8')
    expect(encodeTensor(floatTensor([], [3]), 'q8')).toMatchObject({ datatype: 'FP32', shape: [] })
    expect(codecOf(encodeTensor(floatTensor([1, 2, 4, 4], new Float32Array(32).fill(1)), 'q8c'))).toBe('q8')
  })

  it('takes 4, 8 and 16 times fewer bytes', () => {
    const tensor = floatTensor(
      [1, 8, 64, 64],
      Array.from({ length: 32_768 }, (_, index) => Math.cos(index)),
    )
    const sizes = ['fp16', 'q8', 'q6', 'q4', 'q2'].map(
      (codec) => encodeTensor(tensor, codec).bytes.byteLength,
    )
    expect(sizes).toEqual([65_536, 32_776, 24_584, 16_392, 8200])
    expect(encodeTensor(tensor, 'q8c').bytes.byteLength).toBe(32_768 + 8 * 8)
  })

  it('has a name that the contract knows, and only those', () => {
    for (const name of availableCodecs()) expect(CodecName.parse(name)).toBe(parseCodec(name).name)
    expect(availableCodecs()[0]).toBe('none')
    expect(availableCodecs()).toContain('q4c-zstd')
    for (const odd of ['', 'q5', 'q8-', 'zstd-q8', 'nonec', 'fp16c', 'q8c-zstd ', 'none-zstd', 'Q8'])
      expect(() => parseCodec(odd)).toThrow(/unknown codec/)
  })
})
