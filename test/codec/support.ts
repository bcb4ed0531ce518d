/** Tensors for the codec's tests, made from seeds. */
import fc from 'fast-check'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../../shared/contracts/tensor.ts'

export const SEED = { seed: 20_260, numRuns: 150 }

export function floatTensor(shape: number[], values: ArrayLike<number>): Tensor {
  const floats = Float32Array.from(values)
  return { name: 't', datatype: 'FP32', shape, bytes: new Uint8Array(floats.buffer) }
}

export const floatsOf = ({ bytes }: Tensor): Float32Array => new Float32Array(new Uint8Array(bytes).buffer)

const shapes = fc
  .array(fc.integer({ min: 0, max: 9 }), { maxLength: 5 })
  .filter((shape) => elementCount(shape) <= 3000)
/** Some shapes need several chunks, some have channels that are large enough for a range each. */
const largeShapes = fc.constantFrom(
  [1, 3, 37, 41],
  [2, 5, 7, 9],
  [1, 2, 100, 101],
  [40_000],
  [1, 16_385],
  [4, 64, 33],
)

const finite = fc.float({ noNaN: true, noDefaultInfinity: true })
const ranges = fc.oneof(
  fc.constant((x: number) => x),
  finite.map((centre) => (x: number) => centre + (x % 1) * 1e-3),
  fc.constant((x: number) => Math.max(0, x % 6)),
  finite.map((centre) => () => centre),
  fc.constant((x: number) => (x % 2) * 3e38),
  fc.constant((x: number) => (x % 2) * 1e-42),
)

/** Finite FP32 tensors of many shapes and ranges. */
export const finiteTensors = fc
  .record({
    shape: fc.oneof(shapes, largeShapes),
    seeds: fc.array(finite, { minLength: 1, maxLength: 50 }),
    range: ranges,
  })
  .map(({ shape, seeds, range }) => {
    const values = Array.from({ length: elementCount(shape) }, (_, index) =>
      Math.fround(range((seeds[index % seeds.length] ?? 0) * (1 + (index % 7) / 13))),
    )
    return floatTensor(
      [...shape],
      values.map((value) => (Number.isFinite(value) ? value : 1)),
    )
  })

const FIXED = Object.entries(ELEMENT_BYTES) as [Exclude<Tensor['datatype'], 'BYTES'>, number][]

/** Tensors of any fixed-size datatype with any bytes; floats may be NaN or infinite. */
export const anyTensors = fc
  .record({
    type: fc.constantFrom(...FIXED),
    shape: shapes,
    fill: fc.uint8Array({ minLength: 1, maxLength: 64 }),
  })
  .map(({ type: [datatype, size], shape, fill }): Tensor => {
    const bytes = Uint8Array.from(
      { length: elementCount(shape) * size },
      (_, index) => fill[index % fill.length] ?? 0,
    )
    return { name: 't', datatype, shape, bytes }
  })
