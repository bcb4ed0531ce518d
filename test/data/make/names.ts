/** A small network whose tensors and operators have the names that real files surprise one with. */
import { value } from '../../onnx/support/build.ts'
import { gain, Net } from './net.ts'

const ODD_NAMES = {
  inputs: ['входы/картинка 1', 'constructor'],
  outputs: ['結果:0', 'StatefulPartitionedCall/модель "a", b=c&d?e#f%20'],
} as const

/** [1,2,8,8] and [1,4] → [1,4,4] and [1,5]. */
export function oddNames(): Uint8Array {
  const net = new Net('odd-names')
  const [picture, extra] = ODD_NAMES.inputs
  const [cells, scores] = ODD_NAMES.outputs
  const kernel = net.weight([4, 2, 3, 3], gain(18), '/вес/0')
  net.op(
    'Conv',
    [picture, kernel],
    { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] },
    '../../up and away',
  )
  net.op('Relu', ['../../up and away'], {}, 'hasOwnProperty')
  net.op('Add', ['hasOwnProperty', net.weight([4, 1, 1], 0.3, '🙂')], {}, 'a\tb\nc')
  net.op('ReduceSum', ['a\tb\nc', net.ints([1])], { keepdims: 0 }, cells)
  const long = `/${'encoder/layer.'.repeat(60)}out`
  net.op('GlobalAveragePool', ['a\tb\nc'], {}, long)
  net.op('Flatten', [long], {}, '-')
  net.op('Mul', ['-', extra], {}, "'; DROP TABLE layers; --")
  net.op('MatMul', ["'; DROP TABLE layers; --", net.weight([4, 5], 0.9, 'toString')], {}, 'x.y[0]')
  net.op('Tanh', ['x.y[0]'], {}, scores)
  return net.encoded(
    [value(picture, [1, 2, 8, 8]), value(extra, [1, 4])],
    [value(cells, [1, 4, 4]), value(scores, [1, 5])],
  )
}
