import { describe, expect, it } from 'vitest'
import { StaleWhileRevalidateCache } from '../../shared/platform/redis/stale-while-revalidate-cache.ts'
import { ScissionError } from '../../shared/platform/errors.ts'

const notFound = () => new ScissionError('notFound', 'unknown thing')
const change = { kind: 'things', id: 'a' }

describe('what was last known of Redis', () => {
  it('is read once while nothing changes, again when something did', async () => {
    let reads = 0
    const things = new StaleWhileRevalidateCache('things', async () => (reads += 1))
    expect([await things.get('a'), await things.get('a')]).toEqual([1, 1])
    things.onChange({ kind: 'others', id: 'a' })
    expect(await things.get('a')).toBe(1)
    things.onChange(change)
    expect([await things.get('a'), await things.get('a')]).toEqual([2, 2])
  })

  it('is gone when it was deleted, but not because Redis came back empty', async () => {
    let stored: string | undefined = 'here'
    const things = new StaleWhileRevalidateCache('things', async () => {
      if (stored === undefined) throw notFound()
      return stored
    })
    await things.get('a')
    stored = undefined
    things.onResync()
    expect(await things.get('a')).toBe('here')
    things.onChange(change)
    await expect(things.get('a')).rejects.toMatchObject({ code: 'notFound' })
  })

  it('goes on while Redis fails or hangs', async () => {
    let answer: () => Promise<string> = async () => 'known'
    const things = new StaleWhileRevalidateCache('things', () => answer())
    await things.get('a')
    things.onChange(change)
    answer = () => Promise.reject(new Error('Connection is closed'))
    expect(await things.get('a')).toBe('known')
    answer = () => new Promise(() => undefined)
    expect(await things.get('a')).toBe('known')
    expect(await things.getSoon('a')).toBe('known')
  })

  it('does not take for fresh what changed while it was being read', async () => {
    const answers = ['old', 'new']
    let release = () => {}
    const blocked = new Promise<void>((resolve) => (release = resolve))
    const things = new StaleWhileRevalidateCache('things', async () => {
      const answer = answers.shift() ?? ''
      if (answer === 'old') await blocked
      return answer
    })
    const first = things.get('a')
    things.onChange(change)
    release()
    expect(await first).toBe('old')
    expect(await things.get('a')).toBe('new')
  })
})
