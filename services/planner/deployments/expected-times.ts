/** What a plan says about the time from a hop's input to its answer: hops wait for the next one by it. */
import type { Deployment, Plan } from '../../../shared/contracts/plan.ts'
import { sum } from '../../../shared/platform/statistics.ts'

type Expected = Deployment['hops'][number]['expected']

/**
 * One for each hop of the plan's path, in ms: the transfer of its input there and of the answer back, its stage, and everything
 * behind it. What the sender needs to encode the input comes before. Undefined for the first hop, which clients call.
 */
export function expectedTimes({ stages, transfers, predictedMs, interval }: Plan): Expected[] {
  // The source is on the path even if it runs nothing.
  const idle = transfers.length + 1 - stages.length
  const spread = predictedMs > 0 ? Math.max(1, interval.highMs / predictedMs) : 1
  return [undefined, ...transfers].map((first, hop) => {
    if (!first) return undefined
    const onward = transfers.slice(hop - 1)
    const coding = sum(onward.map(({ encodeMs, decodeMs }) => encodeMs + decodeMs)) - first.encodeMs
    const wire = sum(onward.map(({ ms, returnMs }) => ms + returnMs))
    const compute = sum(stages.slice(hop - idle).map(({ computeMs }) => computeMs))
    const ms = wire + coding + compute
    return { ms, highMs: spread * ms, bytes: first.bytes }
  })
}
