/** What a hop reports when the one behind it is computed by a stand-in, request after request. */
import { z } from 'zod'
import { Name, ResourceName, timestamp } from './common.ts'
import { Deployment } from './plan.ts'

const count = z.number().int().nonnegative()
const MAX_REASON_CHARACTERS = 2000

/** On record for as long as it is so. */
export const StandIn = z.object({
  deployment: Name,
  /** Of the deployment: a later one of its name is another. */
  createdAt: timestamp,
  hop: count,
  /** The resource that should compute the hop. */
  resource: ResourceName,
  /** The resource that computed it for the last request: an alternate, or the one before, with a native fallback. */
  by: ResourceName,
  reportedBy: ResourceName,
  /** Why the resource did not, at the last request. */
  reason: z.string().transform((text) => text.slice(0, MAX_REASON_CHARACTERS)),
  /** Since this request no other was computed by the plan's resource. */
  since: timestamp,
  /** `standIn` of the last `of` requests were computed by a stand-in. */
  requests: z.object({ standIn: count, of: count }),
  /** When this was told; again every ten seconds while there are requests. */
  at: timestamp,
})
export type StandIn = z.infer<typeof StandIn>

/** Hops behind one stand-in after another are listed; their deployment is `degraded`: it answers, but not as planned. */
export const DeploymentView = Deployment.extend({
  state: z.enum([...Deployment.shape.state.options, 'degraded']),
  standIns: z.array(StandIn.omit({ deployment: true, createdAt: true })).optional(),
})
export type DeploymentView = z.infer<typeof DeploymentView>
