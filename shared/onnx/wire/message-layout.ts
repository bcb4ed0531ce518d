/**
 * The fields of ONNX messages that lead to tensors, for the skeleton scanner.
 * Field numbers from onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
 */

import { CODE } from './element-types.ts'

export type MessageKind =
  | 'model'
  | 'graph'
  | 'node'
  | 'attribute'
  | 'tensor'
  | 'sparse'
  | 'function'
  | 'valueInfo'
  | 'type'
  | 'tensorType'
  | 'shape'
  | 'elementType'
  | 'mapType'
  | 'leaf'

type Children = Readonly<Record<number, { kind: MessageKind; label: string }>>

/** Field → nested message. A leaf is only counted and checked: it holds no payload to replace. */
export const MESSAGES: Readonly<Record<MessageKind, Children>> = {
  model: {
    7: { kind: 'graph', label: 'graph' },
    8: { kind: 'leaf', label: 'opset_import' },
    14: { kind: 'leaf', label: 'metadata_props' },
    25: { kind: 'function', label: 'functions' },
  },
  graph: {
    1: { kind: 'node', label: 'node' },
    5: { kind: 'tensor', label: 'initializer' },
    11: { kind: 'valueInfo', label: 'input' },
    12: { kind: 'valueInfo', label: 'output' },
    13: { kind: 'valueInfo', label: 'value_info' },
    14: { kind: 'leaf', label: 'quantization_annotation' },
    15: { kind: 'sparse', label: 'sparse_initializer' },
  },
  node: { 5: { kind: 'attribute', label: 'attribute' } },
  attribute: {
    5: { kind: 'tensor', label: 't' },
    6: { kind: 'graph', label: 'g' },
    10: { kind: 'tensor', label: 'tensors' },
    11: { kind: 'graph', label: 'graphs' },
    14: { kind: 'type', label: 'tp' },
    15: { kind: 'type', label: 'type_protos' },
    22: { kind: 'sparse', label: 'sparse_tensor' },
    23: { kind: 'sparse', label: 'sparse_tensors' },
  },
  // Sparse tensors are small, and ONNX Runtime requires them inline.
  sparse: { 1: { kind: 'leaf', label: 'values' }, 2: { kind: 'leaf', label: 'indices' } },
  function: {
    7: { kind: 'node', label: 'node' },
    9: { kind: 'leaf', label: 'opset_import' },
    11: { kind: 'attribute', label: 'attribute_proto' },
  },
  valueInfo: { 2: { kind: 'type', label: 'type' } },
  type: {
    1: { kind: 'tensorType', label: 'tensor_type' },
    4: { kind: 'elementType', label: 'sequence_type' },
    5: { kind: 'mapType', label: 'map_type' },
    8: { kind: 'tensorType', label: 'sparse_tensor_type' },
    9: { kind: 'elementType', label: 'optional_type' },
  },
  tensorType: { 2: { kind: 'shape', label: 'shape' } },
  shape: { 1: { kind: 'leaf', label: 'dim' } },
  elementType: { 1: { kind: 'type', label: 'elem_type' } },
  mapType: { 2: { kind: 'type', label: 'value_type' } },
  tensor: {},
  leaf: {},
}

/** Field numbers of TensorProto. */
export const TENSOR = { dataType: 2, dataLocation: 14, externalData: 13 } as const

/** Payload field → encoding of its wire bytes for a data type: raw layout, varints, or undefined if neither. */
export const PAYLOAD_LAYOUT: Readonly<Record<number, (dataType: number) => 'raw' | 'varint' | undefined>> = {
  4: (type) => (type === CODE.FLOAT || type === CODE.COMPLEX64 ? 'raw' : undefined),
  5: () => 'varint',
  7: () => 'varint',
  9: () => 'raw',
  10: (type) => (type === CODE.DOUBLE || type === CODE.COMPLEX128 ? 'raw' : undefined),
  11: () => 'varint',
}
