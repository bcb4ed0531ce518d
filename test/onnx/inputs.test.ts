import { expect, it } from 'vitest'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'

const floats = (count: number, seed: number) => {
  const [made] = makeInputs([{ name: 'x', datatype: 'FP32', shape: [count], bytes: 4 * count }], seed)
  return new Float32Array((made?.bytes ?? new Uint8Array()).slice().buffer)
}

it('made-up floats are normal, the same for the same seed, and repeated where there are very many', () => {
  const some = floats(5000, 1)
  const mean = some.reduce((sum, value) => sum + value, 0) / some.length
  const variance = some.reduce((sum, value) => sum + (value - mean) ** 2, 0) / some.length
  expect(Math.abs(mean)).toBeLessThan(0.06)
  expect(Math.abs(variance - 1)).toBeLessThan(0.1)
  expect(floats(5000, 1)).toEqual(some)
  expect(floats(5000, 2)).not.toEqual(some)
  const many = floats(100_000, 1)
  expect(many.subarray(0, 5000)).toEqual(some)
  expect(new Set(many).size).toBeGreaterThan(9900)
  for (let at = 10_007; at < many.length; at++)
    if (many[at] !== many[at - 10_007]) throw new Error(`differs at ${at}`)
  expect(floats(0, 1)).toHaveLength(0)
})
