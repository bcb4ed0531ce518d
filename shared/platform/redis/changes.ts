/** The one channel on which every write of a shared document is announced. */
import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import type { Logger } from '../log.ts'
import { countIgnored } from '../ignored.ts'
import { checkJson } from '../outside-input.ts'
import { REVISION_PATTERN } from './revision.ts'

export const CHANGES_CHANNEL = 'scission:changes'

/** Longer than any id; what else comes on the channel is not read. */
const MAX_ID_CHARACTERS = 1000
const MAX_MESSAGE_CHARACTERS = 10_000

const SUBSCRIBE_AGAIN_MS = 1000

const Change = z.object({
  kind: z.string().max(MAX_ID_CHARACTERS),
  id: z.string().max(MAX_ID_CHARACTERS),
  /** That the write made. Notices arrive in the order of their revisions. */
  revision: z.string().regex(new RegExp(REVISION_PATTERN)).optional(),
})
export type Change = z.infer<typeof Change>

/**
 * Announces changes made by any process as 'change' events. Reconnects by itself; emits 'resync' after each
 * (re)connection. Anybody can publish on the channel: what is no change is logged and otherwise ignored.
 */
export class Changes extends EventEmitter<{ change: [Change]; resync: []; error: [Error] }> {
  readonly #subscriber: Redis
  #again: NodeJS.Timeout | undefined
  #closed = false

  /** @param redis is duplicated, because a subscribed connection can do nothing else. */
  constructor(redis: Redis, log?: Logger) {
    super()
    this.#subscriber = redis.duplicate({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      // Done below with every connection; ioredis would do it once more, and nobody would hear of its failure.
      autoResubscribe: false,
    })
    this.#subscriber.on('error', (error) => this.emit('error', error))
    this.#subscriber.on('message', (_channel, text) => {
      const { value, fault } = checkJson(Change, text, MAX_MESSAGE_CHARACTERS)
      if (fault === undefined) this.emit('change', value)
      else {
        countIgnored('message')
        log?.warn(`a message on ${CHANGES_CHANNEL} is no change: ${fault}`)
      }
    })
    this.#subscriber.on('ready', () => this.#subscribe())
  }

  close(): void {
    clearTimeout(this.#again)
    this.#closed = true
    this.#subscriber.disconnect()
  }

  #subscribe(): void {
    clearTimeout(this.#again)
    this.#subscriber.subscribe(CHANGES_CHANNEL).then(
      () => this.emit('resync'),
      (error: Error) => {
        this.emit('error', error)
        // After a reconnect, `ready` subscribes again. If Redis refused on a connection that stays, nothing else would.
        if (!this.#closed && this.#subscriber.status === 'ready')
          this.#again = setTimeout(() => this.#subscribe(), SUBSCRIBE_AGAIN_MS).unref()
      },
    )
  }
}
