/**
 * Makes a plan live. The record in Redis comes first (state `loading`), then every resource on the path is told to
 * fetch and load its layers; all of them ready makes the deployment `ready`, one failure makes it `failed` with the
 * reason. Telling a resource twice changes nothing, so a planner that starts again takes up what was left `loading`.
 *
 * Several planners may work on one deployment, and one may be deleted and made again under its name while it loads. So
 * a record is only ever changed in one step that looks at what is there, a load that ends counts only for the very
 * record it was begun for, and a resource is told to let go of that deployment only, not of a later one of its name.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deployment, DeploymentRequest, Plan } from '../../../shared/contracts/plan.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { formatShapeRanges } from '../../../shared/contracts/shape-ranges.ts'
import { createJsonClient } from '../../../shared/client/http.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { modelLock, NAMES_LOCK, withLock } from '../../../shared/platform/redis/lock.ts'
import { namesOf } from '../../../shared/platform/redis/state.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'
import { type DeployedLayers, deployedLayers } from './open-layers.ts'
import { planById } from './plan-by-id.ts'

const RECORD_AGAIN_MS = 1000

export interface DeployerDeps extends PlannerDeps {
  log: Logger
  deployTimeoutMs: number
}

export class Deployer {
  readonly #deps: DeployerDeps
  /** Loads of this process, one for each record. */
  readonly #loads = new Map<string, Promise<void>>()
  readonly #closing = new AbortController()

  constructor(deps: DeployerDeps) {
    this.#deps = deps
  }

  /** @returns the record in state `loading`; loading goes on in the background. */
  async deploy(request: DeploymentRequest): Promise<Deployment> {
    const plan = await planById(this.#deps, request.plan)
    refuseOtherOptions(plan)
    const layers = await deployedLayers(this.#deps.mirror, plan, request.shapes)
    const { deployments, models, redis } = this.#deps.state
    const id = request.name ?? deploymentName(plan)
    let made: Deployment | undefined
    const decide = (existing: Deployment | undefined): Deployment => {
      if (existing && existing.planId !== plan.id) {
        throw new ScissionError(
          'conflict',
          `deployment "${id}" already runs plan ${existing.planId}; delete it or choose another name`,
        )
      }
      if (existing) refuseOtherShapes(existing, layers)
      if (existing && this.#loads.has(loadKey(existing))) return existing
      // Loaded again even when it is on record as ready: a resource may have started anew, at another address.
      made = this.#record(id, plan, layers, request)
      return made
    }
    const recorded = await withLock(redis, NAMES_LOCK, async () => {
      await this.#refuseModelName(id)
      return withLock(redis, modelLock(plan.model), async () => {
        // It may have been deleted since the plan was looked up.
        await models.need(plan.model)
        return deployments.update(id, decide)
      })
    })
    if (!recorded) throw new ScissionError('internal', `deployment "${id}" was not recorded`)
    if (recorded === made) this.#load(recorded)
    return recorded
  }

  /** Both are served under /v2/models. */
  async #refuseModelName(id: string): Promise<void> {
    const models = await this.#deps.state.models.all()
    const taken = models.some((model) => model.id === id || namesOf(model).some(({ name }) => name === id))
    if (taken)
      throw new ScissionError('conflict', `"${id}" is the name of a model; choose another for the deployment`)
  }

  /** Takes up deployments that another run of this service left half-way. */
  async resume(): Promise<void> {
    for (const deployment of await this.#deps.state.deployments.all()) {
      if (deployment.state === 'loading') this.#load(deployment)
    }
  }

  async remove(id: string): Promise<void> {
    const taken = await this.#deps.state.deployments.take(id)
    if (!taken) {
      await this.#deps.state.deployments.need(id)
      // It was made in this very moment.
      return this.remove(id)
    }
    // The resources learn of a record that cannot be read by its announcement.
    if (taken.document) await this.#release(taken.document)
  }

  /** Resolves once nothing is being loaded by this process. An end that cannot be recorded is left to the next planner. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#loads.values())
  }

  #record(id: string, plan: Plan, layers: DeployedLayers, request: DeploymentRequest): Deployment {
    const entry = this.#deps.mirror.resources.get(plan.source)
    if (!entry)
      throw new ScissionError(
        'notFound',
        `plan ${plan.id}: its source resource ${plan.source} is not registered`,
      )
    const unknown = request.alternates?.find((name) => !this.#deps.mirror.resources.has(name))
    if (unknown !== undefined)
      throw new ScissionError('notFound', `alternates: unknown resource "${unknown}"`, {
        field: 'alternates',
      })
    const runs = plan.stages.map(({ resource, tier, from, to }) => ({
      resource,
      from: layers.boundary(from),
      to: layers.boundary(to),
      ...arrivesEncoded(plan, resource),
      ...standIns(this.#deps.mirror.resources.values(), resource, tier, request),
    }))
    const hops =
      runs[0]?.resource === plan.source ? runs : [{ resource: plan.source, from: 0, to: 0 }, ...runs]
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
      emulated: plan.emulated,
      state: 'loading',
      createdAt: new Date(this.#deps.now()).toISOString(),
    }
  }

  #load(deployment: Deployment): void {
    const key = loadKey(deployment)
    if (this.#loads.has(key)) return
    const done = this.#loadHops(deployment)
      .catch((thrown: unknown) => {
        this.#deps.log.error(
          { err: coerceError(thrown), deployment: deployment.id },
          'could not record the end of a deployment',
        )
      })
      .finally(() => this.#loads.delete(key))
    this.#loads.set(key, done)
  }

  async #loadHops(deployment: Deployment): Promise<void> {
    const outcomes = await Promise.allSettled(
      deployment.hops.map((hop) => this.#tell(hop.resource, deployment)),
    )
    const failures = outcomes.flatMap((outcome, index) => {
      if (outcome.status === 'fulfilled') return []
      return [`${deployment.hops[index]?.resource}: ${coerceError(outcome.reason).message}`]
    })
    const end =
      failures.length === 0
        ? { state: 'ready' as const }
        : { state: 'failed' as const, error: failures.join('; ') }
    const recorded = await this.#recordEnd(deployment, end)
    if (!recorded || loadKey(recorded) !== loadKey(deployment)) {
      // Deleted, or made again, while it was loading.
      await this.#release(deployment)
      return
    }
    this.#deps.log.info({ deployment: deployment.id, ...end }, `deployment ${deployment.id} is ${end.state}`)
    if (failures.length > 0) await this.#release(deployment)
    else await this.#tellAlternates(deployment)
  }

  /**
   * Redis may be away for a moment: a record left `loading` would stay so for as long as this process lives.
   * @returns the record as it is now.
   */
  async #recordEnd(
    deployment: Deployment,
    end: Pick<Deployment, 'state' | 'error'>,
  ): Promise<Deployment | undefined> {
    const { log, state } = this.#deps
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await state.deployments.update(deployment.id, (current) =>
          current && loadKey(current) === loadKey(deployment) ? { ...deployment, ...end } : current,
        )
      } catch (thrown) {
        if (this.#closing.signal.aborted) throw thrown
        const note = { err: coerceError(thrown), deployment: deployment.id }
        log[attempt === 1 ? 'warn' : 'debug'](
          note,
          'the end of a deployment cannot be recorded yet; trying again',
        )
        // Closing the service ends the wait with an error.
        await sleep(RECORD_AGAIN_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined)
      }
    }
  }

  /** Best effort: one that could not load now does so when it is first needed. */
  async #tellAlternates(deployment: Deployment): Promise<void> {
    const onPath = deployment.hops.map((hop) => hop.resource)
    const others = resourcesOf(deployment).filter((resource) => !onPath.includes(resource))
    const outcomes = await Promise.allSettled(others.map((resource) => this.#tell(resource, deployment)))
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') continue
      const err = coerceError(outcome.reason)
      this.#deps.log.warn({ err }, `${others[index]} does not stand by for deployment ${deployment.id}`)
    }
    const now = await this.#deps.state.deployments.get(deployment.id)
    // Those who were told after it was deleted would hold it for ever.
    if (!now || loadKey(now) !== loadKey(deployment)) await this.#release(deployment)
  }

  async #tell(resource: string, deployment: Deployment): Promise<void> {
    const found = await this.#registered(resource)
    if (!found) throw new ScissionError('notFound', `resource ${resource} is not registered`)
    const url = `/v1/deployments/${encodeURIComponent(deployment.id)}`
    const timeout = this.#deps.deployTimeoutMs
    await createJsonClient(`resource ${resource}`, found.url).send({
      method: 'PUT',
      url,
      data: deployment,
      timeout,
    })
  }

  /**
   * Best effort: a resource that cannot be reached loads nothing for a deployment that is no longer on record. A later
   * deployment of the same name stays.
   */
  async #release(deployment: Deployment): Promise<void> {
    const url = `/v1/deployments/${encodeURIComponent(deployment.id)}`
    const params = { createdAt: deployment.createdAt }
    for (const name of resourcesOf(deployment)) {
      try {
        const resource = await this.#registered(name)
        if (!resource) continue
        await createJsonClient(`resource ${name}`, resource.url).send({ method: 'DELETE', url, params })
      } catch (error) {
        this.#deps.log.warn({ err: coerceError(error), resource: name }, `could not release ${deployment.id}`)
      }
    }
  }

  /** As it is on record now: the view may not have seen yet that it was started again, at another address. */
  async #registered(resource: string): Promise<Resource | undefined> {
    return await this.#deps.state.resources.get(resource)
  }
}

/** A resource runs every stage with its own runtime options: other ones are for comparing, until it is started anew. */
function refuseOtherOptions(plan: Plan): void {
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

/** The resources hold a plan under its id: they would go on with the shapes that they know. */
function refuseOtherShapes(existing: Deployment, { shapes }: DeployedLayers): void {
  if (JSON.stringify(existing.shapes) === JSON.stringify(shapes)) return
  const taken = existing.shapes ? formatShapeRanges(existing.shapes) : 'the shapes of its plan'
  throw new ScissionError(
    'conflict',
    `deployment "${existing.id}" already runs this plan for ${taken}; delete it or choose another name`,
  )
}

/** Tells a deployment from an earlier and a later one of its name. */
const loadKey = ({ id, planId, createdAt }: Deployment): string => `${id} ${createdAt} ${planId}`

/** Those on the path and those that stand by. */
const resourcesOf = ({ hops }: Deployment): string[] => [
  ...new Set(hops.flatMap((hop) => [hop.resource, ...(hop.alternates ?? [])])),
]

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
function deploymentName(plan: Plan): string {
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
