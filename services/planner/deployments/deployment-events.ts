/**
 * Sends the states of a deployment as server-sent events. A change announced in Redis only triggers a read: clients always get
 * the deployment as it is now.
 */
import type { Request, Response } from 'express'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import {
  eventId,
  type EventStream,
  followStates,
  lastEventId,
  openEventStream,
  type StateEvent,
} from '../../../shared/platform/http-server/server-sent-events.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'
import { viewOf } from './deployment-view.ts'
import { Changes } from '../../../shared/platform/redis/changes.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

export class DeploymentEvents {
  readonly #deps: PlannerDeps
  readonly #state: State
  readonly #log: Logger
  readonly #streams = new Set<EventStream>()

  constructor(deps: PlannerDeps, log: Logger) {
    this.#deps = deps
    this.#state = deps.state
    this.#log = log
  }

  /**
   * Answers with `loading`, `ready`, `degraded` or `failed` at each change, and `deleted` at the end. A client that connects again and has
   * missed that the deployment was deleted is told so; one that knows it is told nothing of a later one of that name.
   * @throws ScissionError notFound if there is none.
   */
  async answer(id: string, req: Request, res: Response): Promise<void> {
    const stream = openEventStream(req, res, await this.#presentState(id, lastEventId(req)))
    if (!stream.closed.aborted) this.#follow(id, stream)
  }

  async #presentState(id: string, had: string | undefined): Promise<StateEvent> {
    const { deployments } = this.#state
    if (had === undefined) return this.#eventOf(id, await deployments.need(id))
    const deleted = deletedEvent(id)
    return had === eventId(deleted) ? deleted : this.#eventOf(id, await deployments.get(id))
  }

  #follow(id: string, stream: EventStream): void {
    this.#streams.add(stream)
    const { deployments, standIns, redis } = this.#state
    const changes = new Changes(redis)
    let wake = () => {}
    stream.closed.addEventListener('abort', () => {
      this.#streams.delete(stream)
      changes.close()
      wake()
    })
    const failed = (error: unknown) =>
      this.#log.debug({ err: error, deployment: id }, 'the events of a deployment wait for Redis')
    // Reconnects by itself; `resync` covers what was missed meanwhile, and what changed before the subscription was made.
    changes.on('error', failed).on('resync', () => wake())
    changes.on('change', (change) => {
      const isIt = change.kind === 'deployments' && change.id === id
      if (isIt || (change.kind === standIns.kind && change.id.startsWith(`${id} `))) wake()
    })
    const nextChange = () =>
      new Promise<void>((resolve) => {
        wake = resolve
      })
    void followStates(stream, async () => this.#eventOf(id, await deployments.get(id)), nextChange, failed)
  }

  async #eventOf(id: string, deployment: Deployment | undefined): Promise<StateEvent> {
    if (!deployment) return deletedEvent(id)
    const view = await viewOf(this.#deps, deployment)
    return { name: view.state, data: view, last: false }
  }

  /** To be called before the server closes, which waits for open answers. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end()
  }
}

const deletedEvent = (id: string): StateEvent => ({ name: 'deleted', data: { id }, last: true })
