/** Tiny models that run on an executor, and inputs of them. */
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { fp32, spec, type TinyModel } from '../tiny-models.ts'

/** y = x + x */
export const doubling: TinyModel = {
  inputs: [spec('x', 'FP32', [3])],
  outputs: [spec('y', 'FP32', [3])],
  nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
}
export const three = () => fp32('x', [3], [1, 2, 3])

/** Takes about 20 ms per run: a chain of matrix products. */
const size = 256
export const slow: TinyModel = {
  inputs: [spec('m0', 'FP32', [size, size])],
  outputs: [spec('m16', 'FP32', [size, size])],
  nodes: [...Array(16).keys()].map((step) => ({
    op: 'MatMul',
    inputs: [`m${step}`, `m${step}`],
    outputs: [`m${step + 1}`],
  })),
}
export const matrix = () => fp32('m0', [size, size], new Float32Array(size * size))

/** y = x + x, as often as the input `trips` says. */
export const looping: TinyModel = {
  inputs: [spec('trips', 'INT64', []), spec('go', 'BOOL', []), spec('x', 'FP32', [1])],
  outputs: [spec('y', 'FP32', [1])],
  nodes: [
    {
      op: 'Loop',
      inputs: ['trips', 'go', 'x'],
      outputs: ['y'],
      body: {
        inputs: [spec('turn', 'INT64', []), spec('on', 'BOOL', []), spec('a', 'FP32', [1])],
        outputs: [spec('again', 'BOOL', []), spec('b', 'FP32', [1])],
        nodes: [
          { op: 'Identity', inputs: ['on'], outputs: ['again'] },
          { op: 'Add', inputs: ['a', 'a'], outputs: ['b'] },
        ],
      },
    },
  ],
}
export const ENDLESS = 10n ** 15n
export const turns = (trips: bigint): Tensor[] => [
  int64('trips', trips),
  { name: 'go', datatype: 'BOOL', shape: [], bytes: Uint8Array.of(1) },
  fp32('x', [1], [1]),
]

/** y = 0, 1, …, as many as the input `count` says. */
export const counting: TinyModel = {
  inputs: [spec('first', 'INT64', []), spec('count', 'INT64', []), spec('step', 'INT64', [])],
  outputs: [spec('y', 'INT64', [-1])],
  nodes: [{ op: 'Range', inputs: ['first', 'count', 'step'], outputs: ['y'] }],
}
export const upTo = (count: bigint): Tensor[] => [
  int64('first', 0n),
  int64('count', count),
  int64('step', 1n),
]

function int64(name: string, value: bigint): Tensor {
  return { name, datatype: 'INT64', shape: [], bytes: new Uint8Array(BigInt64Array.of(value).buffer) }
}

/** As many layers as this, one after another, of three elements: y = x, or −x. */
export const negations = (layers: number): TinyModel => ({
  inputs: [spec('t0', 'FP32', [3])],
  outputs: [spec(`t${layers}`, 'FP32', [3])],
  nodes: Array.from({ length: layers }, (_, step) => ({
    op: 'Neg',
    inputs: [`t${step}`],
    outputs: [`t${step + 1}`],
  })),
})
