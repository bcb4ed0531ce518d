/** Deploys a plan and waits until it is live. */
import type { PlannerClient } from '../../shared/client/planner.ts'
import type { DeploymentRequest } from '../../shared/contracts/plan.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import type { ProgressDisplay } from '../terminal/progress.ts'
import { pollUntil } from './poll-until.ts'

/** The time limit is longer than the planner's default limit for a resource. */
const WAIT = { everyMs: 100, timeoutMs: 180_000 }

/** @param display shows the steps, if given. @throws ScissionError with the deployment's reason if it fails. */
export async function deployAndWait(
  planner: PlannerClient,
  request: DeploymentRequest,
  display?: ProgressDisplay,
): Promise<DeploymentView> {
  const { id } = await planner.deploy(request)
  return untilLive(planner, id, { display })
}

/**
 * @param id of a deployment. @param display shows the steps, if given.
 * @throws ScissionError with the deployment's reason if it fails; the reason of `signal`, which ends the wait alone.
 */
export async function untilLive(
  planner: PlannerClient,
  id: string,
  { display, signal }: { display?: ProgressDisplay | undefined; signal?: AbortSignal },
): Promise<DeploymentView> {
  const shown = async () => {
    const deployment = await planner.deployment(id)
    if (deployment.progress) display?.update(id, deployment.progress)
    return deployment
  }
  const deployment = await pollUntil(shown, ({ state }) => state !== 'loading', {
    ...WAIT,
    ...(signal && { signal }),
  }).finally(() => display?.stop())
  if (deployment.state === 'ready' || deployment.state === 'degraded') return deployment
  if (deployment.state === 'loading')
    throw new ScissionError(
      'deadlineExceeded',
      `deployment ${id} is still loading after ${WAIT.timeoutMs} ms`,
    )
  throw new ScissionError('notReady', `deployment ${id} failed: ${deployment.error}`, { deployment: id })
}
