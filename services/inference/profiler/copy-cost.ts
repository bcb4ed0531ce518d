/**
 * What it costs this machine to hand a tensor out of one session and into the next: measured with a model that does
 * nothing else. ONNX Runtime copies every output into fresh memory; small pieces come from a heap, large ones from the
 * system page by page, so the line has a bend that only measuring can place.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { encodeValue } from '../../../shared/onnx/assemble.ts'
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType,
  ValueInfoProtoSchema,
} from '../../../shared/onnx/proto/onnx_pb.ts'
import { fromBinary } from '@bufbuild/protobuf'
import { sessionOptions } from '../executor/session-options.ts'
import type { Runner } from './runs.ts'
import { median } from './statistics.ts'

/** One measured point of the curve. */
export interface CopyCost {
  bytes: number
  ms: number
}

const SIZES = [4096, 65_536, 262_144, 1_048_576, 4_194_304]
const RUNS = 5
const FLOAT_BYTES = 4
const IR_VERSION = 8n
const OPSET = 17n

/** @param largestBytes no larger tensor crosses any cut: larger sizes need not be measured. */
export async function measureCopies(
  runner: Runner,
  options: RuntimeOptions,
  largestBytes: number,
): Promise<CopyCost[]> {
  const session = await InferenceSession.create(identity(), sessionOptions(options))
  const enough = SIZES.findIndex((bytes) => bytes >= largestBytes)
  const sizes = SIZES.slice(0, enough === -1 ? SIZES.length : enough + 1)
  const costs: CopyCost[] = []
  for (const bytes of sizes) {
    const feeds = { x: new Tensor('float32', new Float32Array(bytes / FLOAT_BYTES), [bytes / FLOAT_BYTES]) }
    const times: number[] = []
    await runner.run(session, feeds, 0)
    for (let run = 0; run < RUNS; run++) times.push(runner.figure(await runner.run(session, feeds, 0)))
    costs.push({ bytes, ms: median(times) })
  }
  await session.release()
  return costs
}

/** A straight line between the points, and on beyond the last by the slope of its last piece. */
export function copyMs(costs: readonly CopyCost[], bytes: number): number {
  const [first] = costs
  if (first === undefined) return 0
  if (bytes <= first.bytes || costs.length === 1) return first.ms
  const above = costs.findIndex((cost) => cost.bytes >= bytes)
  const at = above === -1 ? costs.length - 1 : above
  const [low, high] = [costs[at - 1] ?? first, costs[at] ?? first]
  const slope = Math.max(0, (high.ms - low.ms) / (high.bytes - low.bytes))
  return low.ms + slope * (bytes - low.bytes)
}

function identity(): Uint8Array {
  const value = (name: string) =>
    fromBinary(ValueInfoProtoSchema, encodeValue({ name, code: TensorProto_DataType.FLOAT, shape: [-1] }))
  const graph = create(GraphProtoSchema, {
    name: 'identity',
    node: [create(NodeProtoSchema, { opType: 'Identity', input: ['x'], output: ['y'] })],
    input: [value('x')],
    output: [value('y')],
  })
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: IR_VERSION,
      opsetImport: [create(OperatorSetIdProtoSchema, { version: OPSET })],
      graph,
    }),
  )
}
