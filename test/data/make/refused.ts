/** Files that must be refused, each broken in a way that files of strangers are. */
import { create } from '@bufbuild/protobuf'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { TypeProto_MapSchema, TypeProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'
import { DataType, encode, floats, model, node, value } from '../../onnx/support/build.ts'
import { digitsCnn } from './convolutional.ts'
import { moveWeightsOut } from './external.ts'
import { Net } from './net.ts'

export interface RefusedFile {
  bytes: Uint8Array
  /** A part of the reason that is given. */
  error: string
  /** Shapes to analyse it with, for those that have open dimensions. */
  shapes?: InputShapes
}

const x = value('x', [2, 3])
const small = () => model({ nodes: [node('Relu', ['x'], ['y'])], inputs: [x], outputs: [value('y', [2, 3])] })

export function refusedFiles(): Record<string, RefusedFile> {
  const digits = digitsCnn()
  return {
    git_lfs_pointer: { bytes: new TextEncoder().encode(LFS_POINTER), error: 'Git LFS pointer' },
    no_opset_import: { bytes: encode({ ...small(), opsetImport: [] }), error: 'no opset_import' },
    unknown_op: { bytes: unknownOperator(), error: 'LegacyPadding' },
    map_output: { bytes: mapOutput(), error: 'output "loss" is a map' },
    bad_shapes: { bytes: badShapes(), error: 'Incompatible dimensions' },
    fails_at_run_only: { bytes: failsAtRun(), error: 'join_rows', shapes: { x: [1, 3] } },
    missing_weights: { bytes: missingWeights(), error: 'gone.bin' },
    cut_off: { bytes: digits.subarray(0, digits.length - 100), error: 'cut off or damaged' },
  }
}

/** Repositories hold such files in place of the weights. Source: the specification of Git LFS. */
const LFS_POINTER = `version https://git-lfs.github.com/spec/v1
oid sha256:${'0123456789abcdef'.repeat(4)}
size 1915246
`

function unknownOperator(): Uint8Array {
  const made = small()
  const [first] = made.graph?.node ?? []
  if (first) first.opType = 'LegacyPadding'
  return encode(made)
}

function mapOutput(): Uint8Array {
  const made = small()
  const map = create(TypeProto_MapSchema, {
    keyType: DataType.STRING,
    valueType: create(TypeProtoSchema, {
      value: { case: 'tensorType', value: { elemType: DataType.FLOAT } },
    }),
  })
  made.graph?.node.push(node('Identity', ['y'], ['loss']))
  made.graph?.output.push({
    ...value('loss', []),
    type: create(TypeProtoSchema, { value: { case: 'mapType', value: map } }),
  })
  return encode(made)
}

/** The sum of [2,3] and [4]. */
function badShapes(): Uint8Array {
  const nodes = [node('Relu', ['x'], ['h']), node('Add', ['h', 'w'], ['y'])]
  return encode(
    model({ nodes, inputs: [x], outputs: [value('y', undefined)], constants: [floats('w', [4])] }),
  )
}

/** Joins rows of 7 with rows whose length depends on how many values are above 0: no shape tells that it fails. */
function failsAtRun(): Uint8Array {
  const net = new Net('fails-at-run')
  const places = net.op('NonZero', [net.op('Relu', ['x'])])
  const rows = net.op('Cast', [places], { to: BigInt(DataType.FLOAT) })
  const long = net.op('Concat', [rows, net.floats([2, 7], [1])], { axis: 1 })
  net.nodes.push(node('Concat', [net.linear('x', 3, 7), long], ['y'], { axis: 0 }, { name: 'join_rows' }))
  return net.encoded([value('x', ['N', 3])], [value('y', undefined)])
}

function missingWeights(): Uint8Array {
  const made = model({
    nodes: [node('MatMul', ['x', 'w'], ['y'])],
    inputs: [x],
    outputs: [value('y', [2, 200])],
    constants: [floats('w', [3, 200])],
  })
  moveWeightsOut(made, 'gone.bin')
  return encode(made)
}
