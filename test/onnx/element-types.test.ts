import { expect, it } from 'vitest'
import { CODE, elementTypeOf } from '../../shared/onnx/wire/element-types.ts'
import { TensorProto_DataType } from '../../shared/onnx/proto/onnx_pb.ts'

it('element types have the numbers of onnx.proto, and all but the undefined one are known', () => {
  const numbers = Object.entries(TensorProto_DataType).filter(([, code]) => typeof code === 'number')
  expect(CODE).toEqual(Object.fromEntries(numbers))
  for (const [name, code] of Object.entries(CODE))
    if (name !== 'UNDEFINED') expect(elementTypeOf(code)).toMatchObject({ name, code })
})
