/**
 * Makes a plan live. The record in Redis comes first (state `loading`), then every resource on the path is told to
 * fetch and load its layers. Once all have, the split is verified against the whole model (verification/verifier.ts): if
 * they give the same the deployment is `ready`; a difference or a failure makes it `failed` with the reason. Telling a
 * resource twice changes nothing, so what was left `loading` is taken up by a planner that starts, and by the others once
 * nobody holds its lease any more (loads-under-way.ts).
 *
 * Several planners may work on one deployment, and one may be deleted and made again under its name while it loads. So
 * a record is only ever changed in one step that looks at what is there, a load that ends counts only for the very
 * record it was begun for, and a resource is told to let go of that deployment only, not of a later one of its name.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { namesOf } from '../../../shared/contracts/model-names.ts'
import type { Deployment, DeploymentRequest, Plan } from '../../../shared/contracts/plan.ts'
import type { Verification } from '../../../shared/contracts/verification.ts'
import type { Holdings } from '../../../shared/platform/access/holdings.ts'
import type { Identity } from '../../../shared/platform/access/identity.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { toScissionError } from '../../../shared/platform/http-server/error-answers.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { standInId } from '../../../shared/platform/redis/state.ts'
import { modelLock, NAMES_LOCK, withLock } from '../../../shared/platform/redis/lock.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'
import { ResourceCalls, resourcesOf } from '../resources/resource-calls.ts'
import { TensorThread } from '../verification/tensor-thread.ts'
import { Verifier } from '../verification/verifier.ts'
import { deploymentName, recordOf, refuseOtherOptions } from './deployment-record.ts'
import { refuseOtherSettings, refuseOtherShapes } from './same-deployment.ts'
import { LoadsUnderWay } from './loads-under-way.ts'
import { deployedLayers } from './open-layers.ts'
import { planById } from './plan-by-id.ts'
import { refuseUnservable } from './servable.ts'

const RECORD_AGAIN_MS = 1000

export interface DeployerDeps extends PlannerDeps {
  log: Logger
  deployTimeoutMs: number
  /** Longest answer that a verification compares. */
  verifyBytes: number
  /** Where the samples are with which it runs; empty if that is not known. */
  benchmarkUrl: string
  holdings: Holdings
}

/** The end of a load. */
type End = Pick<Deployment, 'state' | 'error' | 'verification'>

interface Load {
  done: Promise<void>
  /** Aborted when the deployment is deleted here. */
  stop: AbortController
}

export class Deployer {
  readonly #deps: DeployerDeps
  /** Loads of this process, one for each record. */
  readonly #loads = new Map<string, Load>()
  readonly #closing = new AbortController()
  readonly #calls: ResourceCalls
  readonly #thread = new TensorThread()
  readonly #verifier: Verifier
  readonly #underWay: LoadsUnderWay
  readonly #looks: NodeJS.Timeout

  constructor(deps: DeployerDeps) {
    this.#deps = deps
    this.#underWay = new LoadsUnderWay(deps.state.redis)
    this.#looks = setInterval(() => void this.#takeUpAbandoned(), deps.heartbeatMs).unref()
    this.#calls = new ResourceCalls(deps)
    this.#verifier = new Verifier({ ...deps, calls: this.#calls, thread: this.#thread })
  }

  /**
   * @param identity who asks, and has it if it is new.
   * @returns the record in state `loading`; loading goes on in the background.
   */
  async deploy(request: DeploymentRequest, identity: Identity): Promise<Deployment> {
    const plan = await planById(this.#deps, request.plan)
    refuseOtherOptions(plan)
    refuseUnservable(plan, await this.#inputBytes(plan), this.#deps.mirror.resources)
    const layers = await deployedLayers(this.#deps.mirror, plan, request.shapes)
    const { holdings } = this.#deps
    const { deployments, models, redis } = this.#deps.state
    const id = request.name ?? deploymentName(plan)
    let made: Deployment | undefined
    const decide = (existing: Deployment | undefined, by: Deployment['owner']): Deployment => {
      if (existing && existing.planId !== plan.id) {
        throw new ScissionError(
          'conflict',
          `deployment "${id}" already runs plan ${existing.planId}; delete it or choose another name`,
        )
      }
      if (existing) refuseOtherShapes(existing, layers)
      const owner = existing ? existing.owner : by
      made = { ...recordOf(this.#deps, id, plan, layers, request), owner }
      if (existing && existing.state !== 'failed') refuseOtherSettings(existing, made)
      if (existing && this.#loads.has(loadKey(existing))) return existing
      // Loaded again even when it is on record as ready: a resource may have started anew, at another address.
      return made
    }
    const recorded = await withLock(redis, NAMES_LOCK, async () => {
      await this.#refuseModelName(id)
      const wanted = (await deployments.has(id)) ? {} : { deployments: 1 }
      return holdings.reserving(identity, wanted, ({ owner }) =>
        withLock(redis, modelLock(plan.model), async () => {
          // It may have been deleted since the plan was looked up.
          await models.need(plan.model)
          return deployments.update(id, (existing) => decide(existing, owner))
        }),
      )
    })
    if (!recorded) throw new ScissionError('internal', `deployment "${id}" was not recorded`)
    if (recorded === made) this.#load(recorded)
    return recorded
  }

  async #inputBytes({ model, shapesKey }: Plan): Promise<number> {
    const { inputs } = await this.#deps.mirror.structure(model, shapesKey)
    return inputs.reduce((total, { bytes }) => total + bytes, 0)
  }

  /** Both are served under /v2/models. */
  async #refuseModelName(id: string): Promise<void> {
    const models = await this.#deps.state.models.all()
    const taken = models.some((model) => model.id === id || namesOf(model).some(({ name }) => name === id))
    if (taken)
      throw new ScissionError('conflict', `"${id}" is the name of a model; choose another for the deployment`)
  }

  /** Takes up deployments that another run of this service left half-way, without waiting for the ends of their leases. */
  async resume(): Promise<void> {
    for (const deployment of await this.#deps.state.deployments.all()) {
      if (deployment.state === 'loading') this.#load(deployment)
    }
  }

  /** Takes the record away, then has every resource let go. @throws ScissionError notFound. */
  async remove(id: string): Promise<void> {
    const taken = await this.#deps.state.deployments.take(id)
    if (!taken) {
      await this.#deps.state.deployments.need(id)
      // It was made in this very moment.
      return this.remove(id)
    }
    // The resources learn of a record that cannot be read by its announcement.
    const { document } = taken
    if (!document) return
    this.#loads.get(loadKey(document))?.stop.abort()
    for (const hop of document.hops.keys()) await this.#deps.state.standIns.delete(standInId(id, hop))
    await this.#release(document)
    // The planner that verifies it may be another one, or gone.
    if (document.state === 'loading') await this.#verifier.forget(document)
  }

  /**
   * Resolves once nothing is being loaded by this process. A verification under way, and an end that cannot be recorded, are
   * left to the next planner.
   */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#looks)
    await Promise.all([...this.#loads.values()].map(({ done }) => done))
    await this.#thread.close()
  }

  #load(deployment: Deployment): void {
    const key = loadKey(deployment)
    if (this.#loads.has(key)) return
    const stop = new AbortController()
    const letGo = this.#underWay.hold(deployment.id)
    const done = this.#loadHops(deployment, AbortSignal.any([stop.signal, this.#closing.signal]))
      .catch((thrown: unknown) => {
        this.#deps.log.error(
          { err: coerceError(thrown), deployment: deployment.id },
          'could not record the end of a deployment',
        )
      })
      .finally(() => {
        this.#loads.delete(key)
        letGo()
      })
    this.#loads.set(key, { done, stop })
  }

  async #takeUpAbandoned(): Promise<void> {
    // The connection reports that Redis is away, and who reads all deployments one that cannot be read; the next look follows.
    const noted = (thrown: unknown) =>
      this.#deps.log.debug({ err: coerceError(thrown) }, 'deployments under way could not be looked at')
    const ids = await this.#underWay.abandoned().catch(noted)
    for (const id of ids ?? []) await this.#takeUp(id).catch(noted)
  }

  async #takeUp(id: string): Promise<void> {
    const { state, log } = this.#deps
    const deployment = await state.deployments.get(id)
    if (deployment?.state !== 'loading') return this.#underWay.forget(id)
    if (this.#closing.signal.aborted) return
    log.warn(`deployment ${id} was left half-way by a planner that is gone: it is taken up`)
    this.#load(deployment)
  }

  async #loadHops(deployment: Deployment, signal: AbortSignal): Promise<void> {
    const outcomes = await Promise.allSettled(
      deployment.hops.map((hop) => this.#tell(hop.resource, deployment, signal)),
    )
    const failures = outcomes.flatMap((outcome, index) => {
      if (outcome.status === 'fulfilled') return []
      return [`${deployment.hops[index]?.resource}: ${coerceError(outcome.reason).message}`]
    })
    const end =
      failures.length === 0
        ? await this.#verified(deployment, signal)
        : { state: 'failed' as const, error: failures.join('; ') }
    // The next planner begins the verification again.
    if (end === undefined && (await this.#isOnRecord(deployment))) return
    const recorded = end && (await this.#recordEnd(deployment, end))
    if (!recorded || loadKey(recorded) !== loadKey(deployment)) {
      // Deleted, or made again, while it was loading.
      await this.#release(deployment)
      return
    }
    const { state, error } = recorded
    this.#deps.log.info(
      { deployment: deployment.id, state, error },
      `deployment ${deployment.id} is ${state}`,
    )
    if (state === 'failed') await this.#release(deployment)
    else await this.#tellAlternates(deployment)
  }

  /**
   * A machine takes what the registry holds. One that cannot ask it is told again, and a Redis that has lost its memory, with
   * this record that no machine holds yet, gets it back first.
   * @throws as the machine says; the last reason after `deployTimeoutMs`.
   */
  async #tell(resource: string, deployment: Deployment, signal: AbortSignal): Promise<void> {
    const { state, deployTimeoutMs } = this.#deps
    const startedAt = performance.now()
    for (;;) {
      try {
        if (await state.memory.isInDoubt('deployments', deployment.id))
          await state.deployments.restore(deployment.id, deployment)
        return await this.#calls.tell(resource, deployment)
      } catch (thrown) {
        const isLate = performance.now() - startedAt > deployTimeoutMs
        if (toScissionError(thrown).code !== 'queueUnavailable' || isLate || signal.aborted) throw thrown
        this.#deps.log.debug({ err: coerceError(thrown) }, `${resource} is told of ${deployment.id} again`)
        // Deleting the deployment or closing the service ends the wait with an error.
        await sleep(RECORD_AGAIN_MS, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  /** @returns undefined if the verification was cancelled, because the deployment was deleted or this planner ends. */
  async #verified(deployment: Deployment, signal: AbortSignal): Promise<End | undefined> {
    if (deployment.verify === false)
      return { state: 'ready', verification: { outcome: 'off', comparisons: [] } }
    const report = (step: string, fraction: number) =>
      this.#report(deployment, { step: `verifying: ${step}`, fraction })
    for (;;) {
      const startedAt = this.#deps.now()
      try {
        return endOf(await this.#verifier.verify(deployment, { signal, report }), startedAt, this.#deps.now())
      } catch (thrown) {
        if (signal.aborted) return undefined
        const { code, message } = toScissionError(thrown)
        const remedy = 'deploy it again, or with verify: false'
        if (code !== 'queueUnavailable')
          return { state: 'failed', error: `it could not be verified: ${message}; ${remedy}` }
        this.#deps.log.warn(`the verification of ${deployment.id} waits for Redis`)
        // Deleting the deployment or closing the service ends the wait with an error.
        await sleep(RECORD_AGAIN_MS, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  /** True also if Redis cannot say: then nothing is released that the next planner would need. */
  async #isOnRecord(deployment: Deployment): Promise<boolean> {
    try {
      const now = await this.#deps.state.deployments.get(deployment.id)
      return now !== undefined && loadKey(now) === loadKey(deployment)
    } catch (thrown) {
      this.#deps.log.warn(
        { err: coerceError(thrown) },
        `whether ${deployment.id} is still wanted is not known`,
      )
      return true
    }
  }

  /** Best effort, and never after its end: what matters is on record at the end. */
  #report(deployment: Deployment, progress: Deployment['progress']): void {
    this.#deps.state.deployments
      .update(deployment.id, (current) =>
        current?.state === 'loading' && loadKey(current) === loadKey(deployment)
          ? { ...current, progress }
          : current,
      )
      .catch((thrown: unknown) =>
        this.#deps.log.debug(
          { err: coerceError(thrown) },
          `the progress of ${deployment.id} is not recorded`,
        ),
      )
  }

  /**
   * Redis may be away for a moment: a record left `loading` would stay so for as long as this process lives. If another
   * planner has recorded an end already, that one stays.
   * @returns the record as it is now.
   */
  async #recordEnd(deployment: Deployment, end: End): Promise<Deployment | undefined> {
    const { log, state } = this.#deps
    for (let attempt = 1; ; attempt += 1) {
      try {
        const ended = { ...withoutProgress(deployment), ...end }
        // A Redis that has lost its memory has lost this record too, perhaps before a machine held it.
        if (await state.memory.isInDoubt()) await state.deployments.restore(deployment.id, ended)
        return await state.deployments.update(deployment.id, (current) =>
          current?.state === 'loading' && loadKey(current) === loadKey(deployment) ? ended : current,
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
    const outcomes = await Promise.allSettled(
      others.map((resource) => this.#calls.tell(resource, deployment)),
    )
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') continue
      const err = coerceError(outcome.reason)
      this.#deps.log.warn({ err }, `${others[index]} does not stand by for deployment ${deployment.id}`)
    }
    const now = await this.#deps.state.deployments.get(deployment.id)
    // Those who were told after it was deleted would hold it for ever.
    if (!now || loadKey(now) !== loadKey(deployment)) await this.#release(deployment)
  }

  #release(deployment: Deployment): Promise<void> {
    return this.#calls.letGo(resourcesOf(deployment), deployment)
  }
}

function endOf(found: Verification, startedAt: number, endedAt: number): End {
  const tookMs = Math.max(0, endedAt - startedAt)
  const verification = { ...found, tookMs, endedAt: new Date(endedAt).toISOString() }
  if (found.outcome !== 'different' && found.outcome !== 'refused') return { state: 'ready', verification }
  return { state: 'failed', error: `verification failed: ${found.reason}`, verification }
}

const withoutProgress = ({ progress: _progress, ...deployment }: Deployment): Deployment => deployment

/** Tells a deployment from an earlier and a later one of its name. */
const loadKey = ({ id, planId, createdAt }: Deployment): string => `${id} ${createdAt} ${planId}`
