/**
 * Which deployments count at this resource. Whoever reaches it may tell it of one: so it is compared with the registry in
 * Redis, which only planners write. What the registry holds is looked at too: a deployment fits its model and machines, and has
 * no model's name, under which it would answer in its place.
 *
 * While Redis is away, or has lost its memory, what is known here stays; what is new has to wait.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { misfitOf } from '../../../shared/contracts/sense.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { LeftOut } from '../../../shared/platform/outside-input.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { trialId } from '../../../shared/platform/trial-id.ts'
import type { Peers } from '../registration/peers.ts'
import type { Catalog } from '../serving/models/catalog.ts'

export interface OnRecordDeps {
  state: Pick<State, 'deployments' | 'memory'>
  catalog: Pick<Catalog, 'named' | 'structure'>
  peers: Pick<Peers, 'find'>
  log: Logger
}

export class OnRecord {
  readonly #deps: OnRecordDeps
  readonly #leftOut: LeftOut

  constructor(deps: OnRecordDeps) {
    this.#deps = deps
    this.#leftOut = new LeftOut(deps.log)
  }

  /** The record of a name, unless a model has that name. @throws Redis' own error. */
  async find(id: string): Promise<Deployment | undefined> {
    const record = await this.#deps.state.deployments.get(id)
    if (!record) return undefined
    if (!(await this.#isModel(id))) return record
    this.#leftOut.report(id, `the deployment "${id}" in Redis has the name of a model, which keeps it`)
    return undefined
  }

  /**
   * The deployment that somebody told this resource of, as the registry has it.
   * @param isKnown true of one that is loaded here already: it stays while the registry cannot be asked.
   * @throws ScissionError conflict if the registry has none like it; queueUnavailable if it cannot be asked.
   */
  async confirmed(told: Deployment, isKnown: (told: Deployment) => boolean): Promise<Deployment> {
    const id = told.verifies ?? told.id
    const recorded = await this.#recorded(id, told, isKnown)
    if (recorded === 'unknown') return told
    if (told.verifies === undefined && (await this.#isModel(id)))
      throw new ScissionError('conflict', `"${id}" is the name of a model: a deployment cannot have it`)
    if (recorded && told.verifies !== undefined && isTrialOf(told, recorded)) return told
    if (recorded && told.verifies === undefined && isSame(told, recorded)) return recorded
    const what = recorded ? `another deployment "${id}" is on record` : `no deployment "${id}" is on record`
    throw new ScissionError(
      'conflict',
      `${what}: it is deployed by POST /v1/deployments of a planner, which records it and tells the machines`,
      { deployment: id },
    )
  }

  /** @throws ScissionError conflict for one whose hops do not fit its model or the machines. */
  async refuseMisfit(record: Deployment): Promise<void> {
    const { catalog, peers } = this.#deps
    const { layers } = await catalog.structure(record.model, record.shapesKey)
    const tiers = new Map<string, number>()
    for (const { resource } of record.hops) {
      // One that is not registered, or not known while Redis is away, is refused when it is called.
      const peer = await peers.find(resource).catch(() => undefined)
      if (peer) tiers.set(resource, peer.resource.tierIndex)
    }
    const misfit = misfitOf(record, layers.length, (resource) => tiers.get(resource))
    if (misfit !== undefined)
      throw new ScissionError('conflict', `deployment ${record.id} cannot be: ${misfit}`, {
        deployment: record.id,
      })
  }

  async #recorded(
    id: string,
    told: Deployment,
    isKnown: (told: Deployment) => boolean,
  ): Promise<Deployment | 'unknown' | undefined> {
    const { state } = this.#deps
    try {
      const recorded = await state.deployments.find(id)
      if (recorded || !(await state.memory.isInDoubt('deployments', id))) return recorded
    } catch (thrown) {
      if (isKnown(told)) return 'unknown'
      const reason = `deployment ${told.id} cannot be compared with the registry: Redis is away; try again`
      throw new ScissionError('queueUnavailable', reason, { deployment: id }, coerceError(thrown))
    }
    if (isKnown(told)) return 'unknown'
    const reason = `deployment ${told.id} cannot be compared with the registry: Redis has lost its memory, which is being restored`
    throw new ScissionError('queueUnavailable', reason, { deployment: id })
  }

  /** False also if nobody knows: without the registry there is no record to take a name either. */
  async #isModel(name: string): Promise<boolean> {
    return this.#deps.catalog.named(name).then(
      () => true,
      () => false,
    )
  }
}

/** What happens to a deployment changes its record; what it is does not. */
function isSame(told: Deployment, recorded: Deployment): boolean {
  const identity = ({ state: _s, error: _e, progress: _p, verification: _v, ...deployment }: Deployment) =>
    JSON.stringify(deployment)
  return identity(told) === identity(recorded)
}

function isTrialOf(trial: Deployment, recorded: Deployment): boolean {
  const what = /^verification\.[0-9a-f]{16}\.(whole|exact|planned|cut-\d{1,9})$/.exec(trial.id)?.[1]
  if (what === undefined || trial.id !== trialId(recorded, what)) return false
  const { model, shapesKey, planId, createdAt } = recorded
  return (
    trial.model === model &&
    trial.shapesKey === shapesKey &&
    trial.planId === planId &&
    trial.createdAt === createdAt
  )
}
