/**
 * Measures the cost of passing a tensor from one session to the next, with a model that does nothing else. ONNX Runtime
 * copies every output into fresh memory: small outputs come from a heap, large ones from the system page by page, so the
 * curve has a bend whose place must be measured.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { CODE } from '../../../../shared/onnx/wire/element-types.ts'
import { assemble, encodeValue } from '../../../../shared/onnx/wire/model-writer.ts'
import { sessionOptions } from '../../serving/executor/ort-session.ts'
import type { Steps } from './measuring-steps.ts'
import type { Runner } from './timed-runs.ts'
import { median } from '../../../../shared/platform/statistics.ts'
import { encodeNumber, encodeText, concatenate, encodeField } from '../../../../shared/onnx/wire/protobuf.ts'

/** One measured point of the curve. */
export interface CopyCost {
  bytes: number
  ms: number
}

const SIZES = [4096, 65_536, 262_144, 1_048_576, 4_194_304]
const RUNS = 5
const FLOAT_BYTES = 4
const IR_VERSION = 8
const OPSET = 17

export async function measureCopies(
  runner: Runner,
  options: RuntimeOptions,
  steps: Steps,
): Promise<CopyCost[]> {
  steps.begin('copies', SIZES.length)
  const session = await InferenceSession.create(identity(), sessionOptions(options))
  const costs: CopyCost[] = []
  for (const bytes of SIZES) {
    const feeds = { x: new Tensor('float32', new Float32Array(bytes / FLOAT_BYTES), [bytes / FLOAT_BYTES]) }
    const times: number[] = []
    await runner.run(session, feeds, 0)
    for (let run = 0; run < RUNS; run++) times.push(runner.figure(await runner.run(session, feeds, 0)))
    costs.push({ bytes, ms: median(times) })
    steps.tick()
  }
  await session.release()
  return costs
}

/** Interpolates linearly between the points, and extrapolates with the slope of the last piece. */
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

/** A model of one Identity on any number of floats. */
function identity(): Uint8Array {
  const value = (name: string) => encodeValue({ name, code: CODE.FLOAT, shape: [-1] })
  const opset = encodeNumber(OPSET_VERSION, OPSET)
  const frame = {
    prefix: encodeNumber(MODEL.irVersion, IR_VERSION),
    suffix: concatenate(encodeField(MODEL.opsets, opset)),
  }
  const node = [encodeText(NODE.input, 'x'), encodeText(NODE.output, 'y'), encodeText(NODE.op, 'Identity')]
  const parts = { initializers: [], sparse: [], functions: [], inputs: [value('x')], outputs: [value('y')] }
  return assemble(frame, 'identity', { nodes: [concatenate(node)], ...parts })
}

/** Field numbers of onnx.proto. */
const MODEL = { irVersion: 1, opsets: 8 } as const
const OPSET_VERSION = 2
const NODE = { input: 1, output: 2, op: 4 } as const
