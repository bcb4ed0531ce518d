/**
 * Measures this machine's speed at encoding and decoding tensors, in CPU time, so that other processes do not count.
 *
 * The time of linear codecs and fp16 does not depend on the values; that of the entropy part does, so the tensor resembles
 * those at most cuts: seeded noise after a Relu, half of it zeros.
 */
import type { CodecSpeed } from '../../../../shared/contracts/calibration.ts'
import { availableCodecs, decodeTensor, encodeTensor } from '../../../../shared/platform/tensor-codecs.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Steps } from './measuring-steps.ts'
import { cpuTimer } from '../../serving/executor/cpu-time.ts'
import { median } from '../../../../shared/platform/statistics.ts'

const SHAPE = [1, 64, 56, 56]
const MB = 1e6
const WARM_UP = 2
const ROUNDS = 5

/** Measures every codec that this process has: about 0.4 s. Blocks its thread. */
export function measureCodecs(steps?: Steps): CodecSpeed[] {
  const tensor = rectifiedNoise()
  const mb = tensor.bytes.byteLength / MB
  const timer = cpuTimer(1)
  const codecs = availableCodecs()
  steps?.begin('codecs', codecs.length * (WARM_UP + ROUNDS))
  return codecs.map((codec) => {
    if (codec === 'none') return { codec, encodeMsPerMb: 0, decodeMsPerMb: 0 }
    const encodeMs: number[] = []
    const decodeMs: number[] = []
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      const encodeSince = timer()
      const encoded = encodeTensor(tensor, codec)
      const encoding = encodeSince()
      const decodeSince = timer()
      decodeTensor(encoded, tensor.bytes.byteLength)
      const decoding = decodeSince()
      steps?.tick()
      if (round < 0) continue
      encodeMs.push(encoding)
      decodeMs.push(decoding)
    }
    return { codec, encodeMsPerMb: median(encodeMs) / mb, decodeMsPerMb: median(decodeMs) / mb }
  })
}

/** The same tensor for every measurement: max(0, sum of three uniform numbers - 1.5), about half of a normal distribution. */
function rectifiedNoise(): Tensor {
  const count = SHAPE.reduce((product, dim) => product * dim, 1)
  const values = new Float32Array(count)
  let state = 1
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  for (let index = 0; index < count; index += 1)
    values[index] = Math.max(0, uniform() + uniform() + uniform() - 1.5)
  return { name: 'noise', datatype: 'FP32', shape: SHAPE, bytes: new Uint8Array(values.buffer) }
}
