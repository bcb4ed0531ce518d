import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkInputs } from '../../../services/inference/serving/executor/check-inputs.ts'
import { decodeStrings, encodeStrings } from '../../../shared/onnx/runtime/ort-strings.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { fp32, spec } from '../tiny-models.ts'

const manifest = { inputs: [spec('image', 'FP32', [1, 3]), spec('ids', 'INT64', [-1])] }
const image = fp32('image', [1, 3], [1, 2, 3])
const ids: Tensor = { name: 'ids', datatype: 'INT64', shape: [2], bytes: new Uint8Array(16) }
const check = (...tensors: Tensor[]) => {
  return () => checkInputs(manifest, tensors)
}

describe('checkInputs', () => {
  it('accepts the expected tensors in any order, and any size where the dimension is open', () => {
    expect(check(image, ids)).not.toThrow()
    expect(check({ ...ids, shape: [0], bytes: new Uint8Array(0) }, image)).not.toThrow()
  })

  it('accepts any shape, with its bytes, where the number of dimensions depends on the data', () => {
    const inputs = [{ ...spec('z', 'FP32', []), anyRank: true as const }]
    const given = (shape: number[], count: number) => () =>
      checkInputs({ inputs }, [{ name: 'z', datatype: 'FP32', shape, bytes: new Uint8Array(4 * count) }])
    for (const [shape, count] of [
      [[], 1],
      [[2, 3], 6],
      [[0, 1, 2], 0],
    ] as const)
      expect(given([...shape], count)).not.toThrow()
    expect(given([2, 3], 5)).toThrow('has 20 bytes')
    expect(given([-1], 1)).toThrow('has shape [-1]')
  })

  it.each([
    [
      'an unknown name',
      [image, { ...ids, name: 'idz' }],
      'unexpected input tensor "idz"; expected "image", "ids"',
    ],
    ['a missing tensor', [image], 'missing input tensor "ids" (INT64 [-1])'],
    ['a tensor given twice', [image, ids, image], 'input tensor "image" is given twice'],
    [
      'another datatype',
      [{ ...image, datatype: 'FP64' }, ids],
      'input tensor "image" has datatype FP64, expected FP32',
    ],
    [
      'another shape',
      [{ ...image, shape: [3, 1] }, ids],
      'input tensor "image" has shape [3,1], expected [1,3]',
    ],
    ['another rank', [{ ...image, shape: [3] }, ids], 'input tensor "image" has shape [3], expected [1,3]'],
    ['a negative size', [image, { ...ids, shape: [-1] }], 'input tensor "ids" has shape [-1], expected [-1]'],
    [
      'too few bytes',
      [{ ...image, bytes: new Uint8Array(8) }, ids],
      'input tensor "image" has 8 bytes, but FP32 [1,3] takes 12',
    ],
    ['a size past all numbers', [image, { ...ids, shape: [2 ** 53] }], 'too many elements'],
  ] as [string, Tensor[], string][])('refuses %s by name', (_, tensors, message) => {
    expect(check(...tensors)).toThrow(expect.objectContaining({ code: 'invalidTensor' }))
    expect(check(...tensors)).toThrow(message)
  })

  it('accepts strings exactly as they are encoded, and nothing shorter, longer or with a lying length', () => {
    const inputs = [spec('text', 'BYTES', [-1])]
    const given = (bytes: Uint8Array, count: number) => () =>
      checkInputs({ inputs }, [{ name: 'text', datatype: 'BYTES', shape: [count], bytes }])
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (strings) => {
        const bytes = encodeStrings(strings)
        expect(given(bytes, strings.length)).not.toThrow()
        expect(decodeStrings({ name: 's', bytes })).toEqual(strings)
        expect(given(bytes, strings.length + 1)).toThrow('length-prefixed')
        if (bytes.length > 0) expect(given(bytes.subarray(1), strings.length)).toThrow('length-prefixed')
      }),
      { numRuns: 100 },
    )
    const lying = encodeStrings(['four'])
    lying[3] = 255
    expect(given(lying, 1)).toThrow('length-prefixed')
  })
})
