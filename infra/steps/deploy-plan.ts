/** Deploys a plan and waits until it is live. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PlannerClient } from '../../shared/client/planner.ts'
import type { Deployment, DeploymentRequest } from '../../shared/contracts/plan.ts'
import { ScissionError } from '../../shared/platform/errors.ts'

const POLL_MS = 100
/** Longer than the planner's default limit for a resource. */
const LOADING_TIMEOUT_MS = 180_000

/** @throws ScissionError with the deployment's reason if it fails. */
export async function deployAndWait(planner: PlannerClient, request: DeploymentRequest): Promise<Deployment> {
  let deployment = await planner.deploy(request)
  const deadline = performance.now() + LOADING_TIMEOUT_MS
  while (deployment.state === 'loading') {
    if (performance.now() > deadline) {
      throw new ScissionError(
        'deadlineExceeded',
        `deployment ${deployment.id} is still loading after ${LOADING_TIMEOUT_MS} ms`,
      )
    }
    await sleep(POLL_MS)
    deployment = await planner.deployment(deployment.id)
  }
  if (deployment.state === 'ready') return deployment
  throw new ScissionError('notReady', `deployment ${deployment.id} failed: ${deployment.error}`, {
    deployment: deployment.id,
  })
}
