import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GraphBuilder } from '../../shared/zoo/builder.ts'
import { kerasOrder } from '../../shared/zoo/keras-order.ts'
import { UniformStream } from '../../shared/zoo/random.ts'
import { afterMaxPool, afterRelu, kernelBound, secondMoment } from '../../shared/zoo/signal.ts'
import { padForStride2, slideOver } from '../../shared/zoo/window.ts'

describe('a sliding window', () => {
  const shape = fc.record({
    input: fc.integer({ min: 1, max: 60 }),
    kernel: fc.integer({ min: 1, max: 7 }),
    stride: fc.integer({ min: 1, max: 3 }),
  })

  it('with `same` padding gives ceil(input / stride) cells, the odd cell of padding at the end', () => {
    fc.assert(
      fc.property(shape, ({ input, kernel, stride }) => {
        const { output, pads } = slideOver(input, input, { kernel, stride, padding: 'same' })
        const [top, left, bottom, right] = pads
        expect(output).toEqual([Math.ceil(input / stride), Math.ceil(input / stride)])
        expect([left, right]).toEqual([top, bottom])
        expect([0, 1]).toContain(bottom - top)
      }),
    )
  })

  it('covers as many cells of the input as counting them one by one gives', () => {
    fc.assert(
      fc.property(
        shape,
        fc.constantFrom('same' as const, 'valid' as const),
        ({ input, kernel, stride }, padding) => {
          fc.pre(padding === 'same' || kernel <= input)
          const { output, pads, meanTaps } = slideOver(input, input, { kernel, stride, padding })
          let taps = 0
          for (let position = 0; position < output[0]; position++) {
            for (let cell = 0; cell < kernel; cell++) {
              const at = position * stride - pads[0] + cell
              if (at >= 0 && at < input) taps++
            }
          }
          expect(meanTaps).toBeCloseTo((taps / output[0]) ** 2, 9)
        },
      ),
    )
  })

  it('of stride 2 is padded as Keras does: less in front where the input is even', () => {
    expect(padForStride2(224, 3)).toEqual({ top: 0, left: 0, bottom: 1, right: 1 })
    expect(padForStride2(111, 5)).toEqual({ top: 2, left: 2, bottom: 2, right: 2 })
    expect(padForStride2(56, 7)).toEqual({ top: 2, left: 2, bottom: 3, right: 3 })
  })
})

describe("Keras' layer order", () => {
  /** Layer k reads some of the layers before it; layer 0 is the input. */
  const graphs = fc
    .array(fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 30 })
    .map((draws) => [
      [],
      ...draws.map((draw, index) => [...new Set(draw.map((value) => value % (index + 1)))]),
    ])

  it('puts every layer after those it reads, and holds exactly the layers the output needs', () => {
    fc.assert(
      fc.property(graphs, (inputs) => {
        const order = kerasOrder(inputs, inputs.length - 1)
        const position = new Map(order.map((layer, index) => [layer, index]))
        expect(position.size).toBe(order.length)
        expect(order.at(-1)).toBe(inputs.length - 1)
        for (const layer of order) {
          for (const input of inputs[layer] ?? []) {
            expect(position.get(input)).toBeLessThan(position.get(layer) ?? -1)
          }
        }
      }),
    )
  })
})

describe('random weights', () => {
  it('lie in their range and fill it evenly', () => {
    const values = new Float32Array(100_000)
    new UniformStream('any key').drawInto(values, 2, 6)
    const quarters = [0, 0, 0, 0]
    for (const value of values) quarters[Math.floor(value) - 2]! += 1
    for (const count of quarters) expect(Math.abs(count - 25_000)).toBeLessThan(1000)
  })

  it('do not depend on the chunks they are made in', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 999 }), (key, cut) => {
        const whole = new Float32Array(1000)
        new UniformStream(key).drawInto(whole, -1, 1)
        const chunked = new Float32Array(1000)
        const stream = new UniformStream(key)
        stream.drawInto(chunked.subarray(0, cut), -1, 1)
        stream.drawInto(chunked.subarray(cut), -1, 1)
        expect(chunked).toEqual(whole)
      }),
      { numRuns: 20 },
    )
  })

  it('of neighbouring keys have nothing in common', () => {
    const [one, two] = ['1', '2'].map((key) => {
      const values = new Float32Array(10_000)
      new UniformStream(key).drawInto(values, -1, 1)
      return values
    }) as [Float32Array, Float32Array]
    const correlation = one.reduce((sum, value, index) => sum + value * two[index]!, 0) / (one.length / 3)
    expect(Math.abs(correlation)).toBeLessThan(0.05)
  })
})

describe('estimated activations', () => {
  it('agree with sampling: ReLU, largest of three, a kernel of unit gain', () => {
    const normal = normals(300_000, 'samples').map((value) => 0.5 + 2 * value)
    const signal = { mean: 0.5, variance: 4 }
    expectSignal(
      afterRelu(signal),
      normal.map((value) => Math.max(value, 0)),
    )
    const largest = normal.slice(0, 100_000).map((_, i) => Math.max(...normal.subarray(3 * i, 3 * i + 3)))
    expectSignal(afterMaxPool(signal), largest)

    const fan = 50
    const kernel = new Float32Array(normal.length)
    const bound = kernelBound(fan, signal)
    new UniformStream('kernel').drawInto(kernel, -bound, bound)
    const products = normal.map((value, index) => value * kernel[index]!)
    const sums = new Float32Array(normal.length / fan).map((_, i) =>
      total(products.subarray(i * fan, (i + 1) * fan)),
    )
    expectSignal({ mean: 0, variance: 1 }, sums)
    expect(secondMoment(signal)).toBe(4.25)
  })

  function expectSignal({ mean, variance }: { mean: number; variance: number }, values: Float32Array): void {
    const measured = total(values) / values.length
    expect(measured).toBeCloseTo(mean, 1)
    expect(total(values.map((value) => (value - measured) ** 2)) / values.length / variance).toBeCloseTo(1, 1)
  }
})

describe('the builder', () => {
  it('refuses two layers of one name', () => {
    const g = new GraphBuilder('twice', 8)
    const x = g.relu(g.input, 'relu')
    expect(() => g.relu(x, 'relu')).toThrow('two layers of twice are called relu')
  })

  it('numbers unnamed layers as Keras does', () => {
    const g = new GraphBuilder('numbers', 8)
    expect(['conv2d', 'add', 'conv2d', 'conv2d'].map((base) => g.numbered(base))).toEqual([
      'conv2d',
      'add',
      'conv2d_1',
      'conv2d_2',
    ])
  })
})

function total(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** Sums of twelve uniform values of variance 1/12: normal enough, and independent of `signal.ts`. */
function normals(count: number, key: string): Float32Array {
  const uniform = new Float32Array(12 * count)
  new UniformStream(key).drawInto(uniform, -0.5, 0.5)
  return new Float32Array(count).map((_, index) => total(uniform.subarray(12 * index, 12 * index + 12)))
}
