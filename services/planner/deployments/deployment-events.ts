/**
 * Sends the states of a deployment as server-sent events, and the conditions that it or a machine of it is in. A change announced
 * in Redis only triggers a read: clients always get the deployment as it is now. All streams share one connection to Redis, and
 * those of one deployment share its reads.
 */
import type { Request, Response } from 'express'
import type { Condition } from '../../../shared/contracts/condition.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { ClientStreams } from '../../../shared/platform/http-server/client-streams.ts'
import {
  eventId,
  type EventStream,
  followStates,
  lastEventId,
  openEventStream,
  type StateEvent,
} from '../../../shared/platform/http-server/server-sent-events.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Change, Changes } from '../../../shared/platform/redis/changes.ts'
import type { ConditionFeed } from '../conditions/condition-feed.ts'
import { type ViewDeps, viewOf } from './deployment-view.ts'
import { resourcesOf } from '../resources/resource-calls.ts'

export interface DeploymentEventsDeps {
  /** From which a deployment is shown as it is now. */
  view: ViewDeps
  /** Of the one connection on which changes are announced. */
  changes: Pick<Changes, 'on'>
  feed: ConditionFeed
  clientStreams: ClientStreams
  log: Logger
}

export class DeploymentEvents {
  readonly #deps: DeploymentEventsDeps
  readonly #streams = new Set<EventStream>()
  /** Deployment id → what wakes its streams. */
  readonly #waiting = new Map<string, Set<() => void>>()
  /** Deployment id → the read under way, which began after its last change. */
  readonly #reads = new Map<string, Promise<Deployment | undefined>>()

  constructor(deps: DeploymentEventsDeps) {
    this.#deps = deps
    deps.changes.on('change', (change: Change) => {
      if (change.kind === 'deployments') this.#wake(change.id)
      // Their ids are a deployment's and a hop.
      if (change.kind === deps.view.state.standIns.kind) this.#wake(change.id.split(' ')[0] ?? '')
    })
    // What was missed while the announcements were interrupted.
    deps.changes.on('resync', () => [...this.#waiting.keys()].forEach((id) => this.#wake(id)))
  }

  /**
   * Answers with `loading`, `ready`, `degraded` or `failed` at each change, and `deleted` at the end; with `condition` when one begins or
   * ends, and for each that holds. A client that connects again and has missed that the deployment was deleted is told so; one
   * that knows it is told nothing of a later one of that name.
   * @throws ScissionError notFound if there is none; tooManyRequests.
   */
  async answer(id: string, req: Request, res: Response): Promise<void> {
    const { clientStreams } = this.#deps
    const stream = openEventStream(req, res, await this.#presentState(id, lastEventId(req)), clientStreams)
    if (!stream.closed.aborted) this.#follow(id, stream)
  }

  async #presentState(id: string, had: string | undefined): Promise<StateEvent> {
    const { deployments } = this.#deps.view.state
    if (had === undefined) return this.#eventOf(id, await deployments.need(id))
    const deleted = deletedEvent(id)
    return had === eventId(deleted) ? deleted : this.#eventOf(id, await deployments.get(id))
  }

  #follow(id: string, stream: EventStream): void {
    this.#streams.add(stream)
    let wake = () => {}
    const onWake = () => wake()
    const waiting = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, waiting.add(onWake))
    const conditions = new ToldConditions(id, stream, this.#deps.feed)
    stream.closed.addEventListener('abort', () => {
      this.#streams.delete(stream)
      waiting.delete(onWake)
      if (waiting.size === 0) this.#waiting.delete(id)
      conditions.close()
      wake()
    })
    const failed = (error: unknown) =>
      this.#deps.log.debug({ err: error, deployment: id }, 'the events of a deployment wait for Redis')
    const nextChange = () =>
      new Promise<void>((resolve) => {
        wake = resolve
      })
    let deployment: Deployment | undefined
    const read = async () => {
      deployment = await this.#read(id)
      return this.#eventOf(id, deployment)
    }
    const send = async (event: StateEvent) => {
      await stream.send(event)
      if (deployment) conditions.of(deployment)
    }
    void followStates({ ...stream, send }, read, nextChange, failed)
  }

  async #eventOf(id: string, deployment: Deployment | undefined): Promise<StateEvent> {
    if (!deployment) return deletedEvent(id)
    const view = await viewOf(this.#deps.view, deployment)
    return { name: view.state, data: view, last: false }
  }

  #wake(id: string): void {
    // A read that began before the change may not see it.
    this.#reads.delete(id)
    for (const wake of this.#waiting.get(id) ?? []) wake()
  }

  #read(id: string): Promise<Deployment | undefined> {
    const known = this.#reads.get(id)
    if (known) return known
    const read = this.#deps.view.state.deployments.get(id).finally(() => {
      if (this.#reads.get(id) === read) this.#reads.delete(id)
    })
    this.#reads.set(id, read)
    return read
  }

  /** To be called before the server closes, which waits for open answers. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end()
  }
}

/** The conditions of one deployment, as one client is told of them. */
class ToldConditions {
  readonly #id: string
  readonly #stream: EventStream
  readonly #feed: ConditionFeed
  readonly #stop: () => void
  /** Undefined until the deployment was read. */
  #resources: ReadonlySet<string> | undefined

  constructor(id: string, stream: EventStream, feed: ConditionFeed) {
    this.#id = id
    this.#stream = stream
    this.#feed = feed
    this.#stop = feed.follow((event) => {
      if (this.#concerns(event)) stream.tell(event.id, 'condition', event)
    })
  }

  /** Tells what holds, when the deployment is first read. */
  of(deployment: Deployment): void {
    const isFirst = this.#resources === undefined
    this.#resources = new Set(resourcesOf(deployment))
    if (!isFirst) return
    for (const condition of this.#feed.active())
      if (this.#concerns(condition))
        this.#stream.tell(condition.id, 'condition', { ...condition, state: 'began' })
  }

  close(): void {
    this.#stop()
  }

  #concerns({ deployment, resource = '', by, kind }: Condition): boolean {
    if (!this.#resources) return false
    if (deployment !== undefined) return deployment === this.#id
    return this.#resources.has(resource) && (kind === 'lost-machine' || this.#resources.has(by))
  }
}

const deletedEvent = (id: string): StateEvent => ({ name: 'deleted', data: { id }, last: true })
