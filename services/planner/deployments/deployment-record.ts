/** The record of a deployment as it is made: from a plan and what the request says about it. */
import type { Deployment, DeploymentRequest, Plan } from '../../../shared/contracts/plan.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'
import { expectedTimes } from './expected-times.ts'
import type { DeployedLayers } from './open-layers.ts'

/** @throws ScissionError notFound if the plan's source, or an alternate, is not registered. */
export function recordOf(
  { mirror, now }: Pick<PlannerDeps, 'mirror' | 'now'>,
  id: string,
  plan: Plan,
  layers: DeployedLayers,
  request: DeploymentRequest,
): Deployment {
  const entry = mirror.resources.get(plan.source)
  if (!entry)
    throw new ScissionError(
      'notFound',
      `plan ${plan.id}: its source resource ${plan.source} is not registered`,
    )
  const unknown = request.alternates?.find((name) => !mirror.resources.has(name))
  if (unknown !== undefined)
    throw new ScissionError('notFound', `alternates: unknown resource "${unknown}"`, {
      field: 'alternates',
    })
  const runs = plan.stages.map(({ resource, tier, from, to }) => ({
    resource,
    from: layers.boundary(from),
    to: layers.boundary(to),
    ...arrivesEncoded(plan, resource),
    ...standIns(mirror.resources.values(), resource, tier, request),
  }))
  const path = runs[0]?.resource === plan.source ? runs : [{ resource: plan.source, from: 0, to: 0 }, ...runs]
  const times = expectedTimes(plan)
  const hops = path.map((hop, index) => ({ ...hop, ...(times[index] && { expected: times[index] }) }))
  return {
    id,
    planId: plan.id,
    model: plan.model,
    shapesKey: layers.shapesKey,
    ...(layers.shapes && { shapes: layers.shapes }),
    entry: { resource: entry.name, url: entry.url },
    hops,
    ...(request.fallback && { fallback: request.fallback }),
    ...(request.answer && { answer: request.answer }),
    predictedMs: plan.predictedMs,
    typicalInterval: plan.typicalInterval,
    emulated: plan.emulated,
    state: 'loading',
    ...(request.verify === false && { verify: false }),
    createdAt: new Date(now()).toISOString(),
  }
}

/** A resource runs every stage with its own runtime options: other ones are for comparing, until it is started anew. */
export function refuseOtherOptions(plan: Plan): void {
  const stage = plan.stages.find(({ options }) => options !== undefined)
  if (!stage?.options) return
  const { threads, optimisation } = stage.options
  throw new ScissionError(
    'conflict',
    `plan ${plan.id} runs ${stage.resource} with ${threads} threads and optimisation ${optimisation}, which are not ` +
      'the options it was started with: start it with them, or plan with options=own',
    { resource: stage.resource, options: stage.options },
  )
}

/**
 * The resources of a tier that may run a hop of `resource` when it fails: those that the request names, since a plan's id
 * does not say which machines its constraints kept the layers away from.
 */
function standIns(
  resources: Iterable<Pick<Resource, 'name' | 'tier'>>,
  resource: string,
  tier: string,
  { alternates }: DeploymentRequest,
): { alternates?: string[] } {
  const others = [...resources].filter((other) => other.tier === tier && other.name !== resource)
  const names = others.map((other) => other.name).filter((name) => alternates?.includes(name))
  return names.length > 0 ? { alternates: names } : {}
}

/** Readable and the same for the same plan: `mobile-net…` would need the registry, so the model is its first 8 digits. */
export function deploymentName(plan: Plan): string {
  const path = plan.stages
    .map(({ resource, from, to }) => {
      const codec = plan.transfers.find((transfer) => transfer.to === resource)?.codec ?? 'none'
      return `${resource}.${from}-${to}${codec === 'none' ? '' : `_${codec}`}`
    })
    .join('.')
  return `${plan.model.slice(0, 8)}.${path}`.slice(0, 100)
}

function arrivesEncoded(
  { transfers }: Plan,
  resource: string,
): { codec?: Plan['transfers'][number]['codec'] } {
  const codec = transfers.find((transfer) => transfer.to === resource)?.codec ?? 'none'
  return codec === 'none' ? {} : { codec }
}
