/** Streams of events that are open when who follows them may no longer do so. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { type SecuredServices, startSecuredServices } from './services.ts'

let system: SecuredServices
beforeAll(async () => {
  system = await startSecuredServices()
})
afterAll(() => system.close())

/** @returns whether the stream has ended by itself. */
async function follow(token: string, leaving: AbortSignal) {
  const url = `${system.urlOf('planner', 'public')}/v1/conditions/events`
  const answer = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, signal: leaving })
  expect(answer.status).toBe(200)
  let isOver = false
  const read = async () => {
    await answer.text()
    isOver = true
  }
  read().catch(() => undefined)
  return () => isOver
}

it('end when the key is revoked, and only those of that key', { timeout: 3 * PATIENCE_MS }, async () => {
  const leaving = new AbortController()
  const [lost, kept] = await Promise.all(
    ['lost', 'kept'].map((name) => system.keys.add({ kind: 'client', name }, 'test')),
  )
  const isLostOver = await follow(lost?.token ?? '', leaving.signal)
  const isKeptOver = await follow(kept?.token ?? '', leaving.signal)
  await system.keys.revoke(lost?.id ?? '')
  await eventually(() => expect(isLostOver()).toBe(true))
  expect(isKeptOver()).toBe(false)
  leaving.abort()
})
