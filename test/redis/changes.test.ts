/** Anybody can publish on the channel of changes: followers take changes and survive everything else. */
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpenRedis } from '../../infra/start/redis/ladder.ts'
import { Changes, CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import { workerConnection } from '../../shared/platform/redis/queue-options.ts'
import { eventually } from '../support/eventually.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { RUBBISH_MESSAGES } from '../support/rubbish.ts'
import { TEST_SERVERS } from './servers.ts'

describe.each(TEST_SERVERS)('the channel of changes on $name', ({ open, skip }) => {
  describe.skipIf(skip)('a follower', () => {
    let server: OpenRedis
    let connection: Redis
    let changes: Changes
    const { log, lines } = recordedLog()
    const seen: string[] = []

    beforeAll(async () => {
      server = await open()
      connection = workerConnection(server.url)
      changes = new Changes(connection, log)
      changes.on('change', ({ id }) => seen.push(id))
      await new Promise<void>((resolve) => changes.once('resync', resolve))
    })
    afterAll(async () => {
      changes.close()
      connection.disconnect()
      await server.close()
    })

    for (const [what, message] of Object.entries(RUBBISH_MESSAGES)) {
      it(`names a message that is ${what} in one line, and hears the next change`, async () => {
        lines.length = 0
        await connection.publish(CHANGES_CHANNEL, message)
        await connection.publish(CHANGES_CHANNEL, JSON.stringify({ kind: 'models', id: what }))
        await eventually(() => expect(seen.at(-1)).toBe(what))
        expect(lines).toEqual([
          expect.stringMatching(/^a message on scission:changes is no change: [^\n]{1,310}$/),
        ])
      })
    }
  })
})
