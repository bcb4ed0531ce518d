/**
 * A deployment as it is answered: its record, with what is known now. Its entry may listen at another address than on record,
 * and a hop may be computed by a stand-in at every request.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import type { DeploymentView, StandIn } from '../../../shared/contracts/stand-in.ts'
import { standInId } from '../../../shared/platform/redis/state.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'

export type ViewDeps = Pick<PlannerDeps, 'state' | 'mirror' | 'heartbeatMs' | 'now'>

/** @throws Redis' own error. */
export async function viewOf(deps: ViewDeps, deployment: Deployment): Promise<DeploymentView> {
  if (deployment.state !== 'ready') return withPresentEntry(deps, deployment)
  const told = await Promise.all(
    deployment.hops.map((_, hop) => deps.state.standIns.find(standInId(deployment.id, hop))),
  )
  return degradedBy(deps, deployment, told)
}

/** The same for many, with one read. */
export async function viewsOf(deps: ViewDeps, deployments: readonly Deployment[]): Promise<DeploymentView[]> {
  const told = await deps.state.standIns.all()
  return deployments.map((deployment) => degradedBy(deps, deployment, told))
}

function degradedBy(
  deps: ViewDeps,
  deployment: Deployment,
  told: readonly (StandIn | undefined)[],
): DeploymentView {
  const view = withPresentEntry(deps, deployment)
  const standIns = told.flatMap((one) => {
    if (one?.deployment !== deployment.id || one.createdAt !== deployment.createdAt) return []
    const { deployment: _deployment, createdAt: _createdAt, ...standIn } = one
    return isCurrent(deps, standIn) ? [standIn] : []
  })
  if (deployment.state !== 'ready' || standIns.length === 0) return view
  return { ...view, state: 'degraded', standIns }
}

/** A report counts for as long as the resource lives that made it: nobody else would take it back. */
function isCurrent(
  { mirror, heartbeatMs, now }: ViewDeps,
  { reportedBy, at }: Pick<StandIn, 'reportedBy' | 'at'>,
): boolean {
  const reporter: Resource | undefined = mirror.resources.get(reportedBy)
  return (
    reporter !== undefined && reporter.startedAt <= at && withLiveness(reporter, heartbeatMs, now()).alive
  )
}

/** The entry's URL as registered now: a restarted resource may listen at another address than the record says. */
function withPresentEntry({ mirror }: ViewDeps, deployment: Deployment): DeploymentView {
  const { resource, url } = deployment.entry
  return { ...deployment, entry: { resource, url: mirror.resources.get(resource)?.url ?? url } }
}
