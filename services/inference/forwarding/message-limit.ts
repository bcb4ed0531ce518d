/**
 * How long a message of a deployment may be. SCISSION_MAX_BODY_BYTES protects from requests that nobody planned; what a plan
 * moves between machines was agreed on when it was deployed, and is served as long as the memory for bodies can hold it.
 * The resource announces that limit, and planning keeps to it.
 */
import { constants } from 'node:buffer'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'

/** For the JSON of a message: names, shapes, parameters and reports of hops. */
const JSON_BYTES = 1024 * 1024

interface Settings {
  bodyMemoryBytes: number
  maxBodyBytes: number
}

/** Bytes of the longest message of a deployment that this resource takes: the memory for bodies, in one buffer. */
export const longestPossibleMessage = ({ bodyMemoryBytes, maxBodyBytes }: Settings): number =>
  Math.min(Math.max(bodyMemoryBytes, maxBodyBytes), constants.MAX_LENGTH)

/**
 * Bytes of the longest message that a deployment needs: inputs, outputs, or the tensors of a cut. For a range of shapes only
 * the sizes that the structure was tried with are known: then it is whatever this resource takes.
 * @param possible bytes that this resource takes at most.
 */
export function longestMessage(
  { hops, shapes }: Pick<Deployment, 'hops' | 'shapes'>,
  structure: Structure,
  possible: number,
): number {
  if (shapes) return possible
  const { inputs, outputs, boundaries } = structure
  const cuts = hops.map(({ from }) => boundaries[from]?.bytes ?? 0)
  return Math.min(possible, Math.max(sumBytes(inputs), sumBytes(outputs), ...cuts) + JSON_BYTES)
}

const sumBytes = (tensors: readonly { bytes: number }[]) => tensors.reduce((sum, { bytes }) => sum + bytes, 0)
