/** The inputs of a run: samples first, whatever their shape, and made-up values for the rest. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { modelInputs } from '../../shared/onnx/sample-inputs/model-inputs.ts'
import { describeSamples, readSamples } from '../../shared/onnx/sample-inputs/samples.ts'
import { decodeElements, encodeElements } from '../../shared/oip/bytes-elements.ts'
import { typedView } from '../../shared/oip/typed-view.ts'

const floats = (name: string, shape: number[], values: number[]): Tensor => ({
  name,
  datatype: 'FP32',
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
})
const texts = (name: string, values: string[]): Tensor => ({
  name,
  datatype: 'BYTES',
  shape: [values.length],
  bytes: encodeElements(values.map((one) => Buffer.from(one))),
})
const specOf = ({ name, datatype }: Tensor, shape: number[]) => ({ name, datatype, shape, bytes: 0 })
const numbers = (tensor: Tensor | undefined) => Array.from(typedView(tensor!) as Float32Array)

describe('samples', () => {
  const x = floats('x', [1, 3], [0.5, -1.25, 3])
  const z = floats('z', [2], [0, 1])

  it('are taken as they are with the first seed; the rest is made up', () => {
    const inputs = [specOf(x, [1, 3]), specOf(z, [2])]
    const [first, second] = modelInputs({ inputs }, [x], 1)
    expect(numbers(first)).toEqual([0.5, -1.25, 3])
    expect(numbers(second)).toEqual(numbers(modelInputs({ inputs }, [], 1)[1]))
  })

  it('are repeated or cut for other shapes, texts too', () => {
    const inputs = [specOf(x, [2, 2]), specOf(texts('t', []), [3])]
    const [made, words] = modelInputs({ inputs }, [x, texts('t', ['a', 'bc'])], 1)
    expect([made?.shape, numbers(made)]).toEqual([
      [2, 2],
      [0.5, -1.25, 3, 0.5],
    ])
    expect(decodeElements(words!.bytes, 't').map(String)).toHaveLength(3)
    expect(Buffer.from(words!.bytes).toString()).toContain('bc')
  })

  it('keep sign and range with other seeds, and whole numbers as they are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 1000 }), (seed) => {
        const [made, whole] = modelInputs({ inputs: [specOf(x, [1, 3]), specOf(z, [2])] }, [x, z], seed)
        expect(numbers(whole)).toEqual([0, 1])
        for (const [at, value] of numbers(made).entries()) {
          const original = numbers(x)[at]!
          expect(Math.sign(value)).toBe(Math.sign(original))
          expect(Math.abs(value)).toBeLessThanOrEqual(Math.abs(original))
        }
        expect(numbers(made)).not.toEqual(numbers(x))
      }),
    )
  })

  it('come back from their data as they were, and their digest tells two apart', () => {
    const given = [texts('t', ['a', 'bc', '']), x, floats('scalar', [], [7])]
    const { samples, data } = describeSamples(given)
    expect(readSamples(data, samples)).toEqual(
      given.map((one) => ({ ...one, bytes: new Uint8Array(one.bytes) })),
    )
    expect(() => readSamples(data.subarray(1), samples)).toThrow(/bytes instead of/)
    const renamed = describeSamples([{ ...x, name: 'y' }]).samples.sha256
    expect(describeSamples([x]).samples.sha256).not.toBe(renamed)
  })
})
