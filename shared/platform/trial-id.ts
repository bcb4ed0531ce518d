import { createHash } from 'node:crypto'
import type { Deployment } from '../contracts/plan.ts'

/**
 * The name of a deployment that serves to verify another one: it follows from that, so that whoever takes up a verification
 * finds what another planner left, and a machine can tell that it belongs to what is on record.
 * @param what is tried: `whole`, `exact`, `planned` or `cut-7`.
 */
export function trialId(
  { id, createdAt, planId }: Pick<Deployment, 'id' | 'createdAt' | 'planId'>,
  what: string,
) {
  const digest = createHash('sha256').update(`${id} ${createdAt} ${planId}`).digest('hex').slice(0, 16)
  return `verification.${digest}.${what}`
}
