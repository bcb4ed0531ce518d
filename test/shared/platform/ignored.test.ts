/** What is left out is counted where operators look. */
import { Registry } from 'prom-client'
import { describe, expect, it } from 'vitest'
import { addIgnoredMetric, countIgnored } from '../../../shared/platform/ignored.ts'
import { Changes, CHANGES_CHANNEL } from '../../../shared/platform/redis/changes.ts'
import { eventually } from '../../support/eventually.ts'
import { withTestRedis } from '../../support/redis.ts'

describe('the metric of what is ignored', () => {
  const redis = withTestRedis()

  const counted = async (what: string): Promise<number> => {
    const registry = new Registry()
    addIgnoredMetric(registry)
    const text = await registry.metrics()
    return Number(new RegExp(`scission_ignored_total\\{what="${what}"\\} (\\d+)`).exec(text)?.[1])
  }

  it('counts messages that are no changes, and documents that cannot be read', async () => {
    const { state } = redis()
    const changes = new Changes(state.redis)
    await new Promise<void>((resolve) => changes.once('resync', resolve))
    const [messages, documents] = [await counted('message'), await counted('document')]
    await state.redis.publish(CHANGES_CHANNEL, 'x')
    await eventually(async () => expect(await counted('message')).toBe(messages + 1))
    await state.redis.hset('scission:models', 'odd', 'no JSON')
    expect(await state.models.all()).toEqual([])
    expect(await counted('document')).toBe(documents + 1)
    countIgnored('document')
    expect(await counted('document')).toBe(documents + 2)
    changes.close()
  })
})
