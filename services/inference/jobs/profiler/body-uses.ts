/** What nodes with bodies (If, Loop, Scan) read. By itself, because of the library it loads: few models have them. */
import { fromBinary } from '@bufbuild/protobuf'
import { NodeProtoSchema } from '../../../../shared/onnx/proto/onnx_pb.ts'
import { usesOf } from '../../../../shared/onnx/canonical/scope.ts'

/** @param node an encoded NodeProto. */
export const usesIn = (node: Uint8Array): ReadonlySet<string> => usesOf(fromBinary(NodeProtoSchema, node))
