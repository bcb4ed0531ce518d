/** HTTP routes of conditions: what is wrong now, and a stream of what begins and ends. */
import type { Request, Response } from 'express'
import { PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { Condition, ConditionEvent } from '../../../shared/contracts/condition.ts'
import type { ClientStreams } from '../../../shared/platform/http-server/client-streams.ts'
import { route, type Route } from '../../../shared/platform/http-server/route.ts'
import { type EventStream, openEventStream } from '../../../shared/platform/http-server/server-sent-events.ts'
import { paginate } from '../../../shared/platform/redis/state.ts'
import type { ConditionFeed } from './condition-feed.ts'

const ConditionPage = pageOf(Condition).meta({ id: 'ConditionPage' })

/** The open streams of all conditions. */
export class ConditionEvents {
  readonly #feed: ConditionFeed
  readonly #clientStreams: ClientStreams
  readonly #streams = new Set<EventStream>()

  constructor(feed: ConditionFeed, clientStreams: ClientStreams) {
    this.#feed = feed
    this.#clientStreams = clientStreams
  }

  /** Answers with those that hold, then with each that begins or ends. */
  answer(req: Request, res: Response): void {
    const stream = openEventStream(
      req,
      res,
      { name: 'condition', data: {}, last: false },
      this.#clientStreams,
    )
    if (stream.closed.aborted) return
    const tell = (event: ConditionEvent) => stream.tell(event.id, 'condition', event)
    const stop = this.#feed.follow(tell)
    this.#streams.add(stream)
    stream.closed.addEventListener('abort', () => {
      stop()
      this.#streams.delete(stream)
    })
    for (const condition of this.#feed.active()) tell({ ...condition, state: 'began' })
  }

  /** To be called before the server closes, which waits for open answers. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end()
  }
}

export function conditionRoutes(
  { feed, ready }: { feed: ConditionFeed; ready: () => Promise<void> },
  events: ConditionEvents,
): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/conditions',
      id: 'listConditions',
      access: 'read',
      summary:
        'What is wrong now: lost machines, open breakers, stand-ins, predictions that no longer hold, wrong addresses',
      query: PageQuery,
      answers: { 200: { description: 'A page of conditions', schema: ConditionPage } },
      handle: async ({ query }) => {
        await ready()
        return paginate(feed.active(), ({ id }) => id, query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/conditions/events',
      id: 'followConditions',
      access: 'read',
      fails: ['tooManyRequests'],
      summary: 'Conditions as server-sent events, when they begin and when they end',
      description: 'A client that connects again is told of all that hold.',
      answers: {
        200: {
          description: 'Each condition that holds, then each that begins or ends',
          events: { condition: ConditionEvent },
        },
      },
      handle: async (_input, req, res) => {
        await ready()
        events.answer(req, res)
      },
    }),
  ]
}
