/**
 * How long a message of a deployment may be. SCISSION_MAX_BODY_BYTES protects from requests that nobody planned; what a plan
 * moves between machines was agreed on when it was deployed, and is served however long it is.
 */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'

/** For the JSON of a message: names, shapes, parameters and reports of hops. */
const JSON_BYTES = 1024 * 1024

/**
 * Bytes of the longest message that a deployment needs: inputs, outputs, or the tensors of a cut. Of an open structure it is
 * that of the sizes it was tried with.
 */
export function longestMessage({ hops }: Pick<Deployment, 'hops'>, structure: Structure): number {
  const { inputs, outputs, boundaries } = structure
  const cuts = hops.map(({ from }) => boundaries[from]?.bytes ?? 0)
  return Math.max(sumBytes(inputs), sumBytes(outputs), ...cuts) + JSON_BYTES
}

const sumBytes = (tensors: readonly { bytes: number }[]) => tensors.reduce((sum, { bytes }) => sum + bytes, 0)
