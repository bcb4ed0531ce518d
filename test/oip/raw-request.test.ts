/** Raw binary requests: the body is the data of the only input, whose shape follows from it. */
import { describe, expect, it } from 'vitest'
import { parseRawRequest } from '../../shared/oip/request-message.ts'

const input = (shape: number[]) => ({ name: 'x', datatype: 'FP32' as const, shape })
const shapeOf = (shape: number[], taken: number[], bytes: number) =>
  parseRawRequest([input(shape)], [input(taken)], new Uint8Array(bytes), 'm').inputs[0]?.shape

describe('the shape of a raw request', () => {
  it.each([
    ['is the model’s own', [1, 2], [1, 2], 8, [1, 2]],
    ['is the model’s own where others are taken too', [1, 2], [-1, -1], 8, [1, 2]],
    ['has as many rows as bytes came for', [1, 2], [-1, 2], 24, [3, 2]],
    ['has no rows if no bytes came', [1, 2], [-1, 2], 0, [0, 2]],
    ['has as many rows where the model has no shape of its own', [-1, 2], [-1, 2], 24, [3, 2]],
  ])('%s', (_what, own, taken, bytes, expected) => {
    expect(shapeOf(own, taken, bytes)).toEqual(expected)
  })

  it.each([
    ['no whole rows', [1, 2], [-1, 2], 12, '12 bytes do not fit shape [-1,2]'],
    ['another size where only one is taken', [1, 2], [1, 2], 16, '16 bytes do not fit shape [1,2]'],
    ['another size where it could have several shapes', [1, 2], [-1, -1], 16, 'do not fit shape [1,2]'],
    ['several shapes', [-1, -1], [-1, -1], 16, 'shape [-1,-1] cannot be deduced'],
  ])('is refused if the bytes are of %s', (_what, own, taken, bytes, message) => {
    expect(() => shapeOf(own, taken, bytes)).toThrow(message)
  })
})
