import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeHalf, encodeHalf } from '../../shared/codec/half-precision.ts'
import { channelsOf, decodeLinear, encodeLinear, rangesOf } from '../../shared/codec/linear-quantisation.ts'
import { BIT_WIDTHS } from '../../shared/codec/codec-name.ts'
import { openWorkspace } from '../../shared/codec/simd/kernel-workspace.ts'
import { finiteTensors, floatTensor, SEED } from './support.ts'

const simd = openWorkspace()
const plain = openWorkspace(false)

describe('the WebAssembly kernels', () => {
  it('are in use here', () => {
    expect(simd.simd).toBe(true)
    expect(plain.simd).toBe(false)
  })

  it('quantise and restore to the same bits as the plain loops', () => {
    fc.assert(
      fc.property(
        finiteTensors,
        fc.constantFrom(...BIT_WIDTHS),
        fc.boolean(),
        ({ shape, bytes }, bits, perChannel) => {
          if (bytes.byteLength === 0) return
          const channels = channelsOf(shape, bytes.byteLength / 4, perChannel)
          const ranges = rangesOf(bytes, channels, simd)
          expect(rangesOf(bytes, channels, plain)).toEqual(ranges)
          const encoded = encodeLinear(bytes, channels, ranges, bits, undefined, simd)
          const slowly = encodeLinear(bytes, channels, ranges, bits, undefined, plain)
          expect(Buffer.compare(slowly, encoded)).toBe(0)
          const count = bytes.byteLength / 4
          const decoded = decodeLinear(encoded, count, channels, bits, undefined, simd)
          const back = decodeLinear(encoded, count, channels, bits, undefined, plain)
          expect(Buffer.compare(back, decoded)).toBe(0)
        },
      ),
      { ...SEED, numRuns: 200 },
    )
  })

  it('convert halves to the same bits as the plain loops, every half there is', () => {
    const halves = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, index) => index).buffer)
    const floats = decodeHalf(halves, simd)
    expect(Buffer.compare(decodeHalf(halves, plain), floats)).toBe(0)
    const finite = new Float32Array(floats.buffer).map((x) => (Number.isFinite(x) ? x : 0))
    const bytes = new Uint8Array(finite.buffer)
    expect(Buffer.compare(encodeHalf(bytes, plain), encodeHalf(bytes, simd))).toBe(0)
    expect(Buffer.compare(decodeHalf(encodeHalf(bytes, simd), simd), bytes)).toBe(0)
  })

  it('find the range and magnitude of every length, whatever lies behind it', () => {
    for (let count = 1; count < 70; count += 1) {
      const values = Float32Array.from({ length: count }, (_, index) => ((index * 37) % 41) - 20)
      const { bytes } = floatTensor([count], values)
      rangesOf(floatTensor([200], new Float32Array(200).fill(1e9)).bytes, channelsOf([200], 200, false), simd)
      const ranges = rangesOf(bytes, channelsOf([count], count, false), simd)
      expect([ranges.lows[0], ranges.highs[0]]).toEqual([Math.min(...values), Math.max(...values)])
      expect(ranges.magnitude).toBe(Math.max(...values.map(Math.abs)))
    }
  })
})
