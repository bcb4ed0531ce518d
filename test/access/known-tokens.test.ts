/** What is made of a system key is made once, and holds for that key alone. */
import type * as Crypto from 'node:crypto'
import { beforeEach, expect, it, vi } from 'vitest'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'

const derivations = vi.hoisted(() => ({ count: 0 }))
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof Crypto>()
  const hkdfSync = (...given: Parameters<typeof crypto.hkdfSync>) => {
    derivations.count += 1
    return crypto.hkdfSync(...given)
  }
  return { ...crypto, hkdfSync }
})
beforeEach(() => {
  derivations.count = 0
})

const EDGE = { kind: 'resource', name: 'edge' }
const text = newSystemKey()
const key = () => SystemKey.read(text, 'test')
const edgeOf = (one: SystemKey) => one.tokenOf('resource', 'edge')

it('a token that was found right once is known again', () => {
  const token = edgeOf(key())
  const asked = key()
  derivations.count = 0
  for (let count = 0; count < 5; count += 1) expect(asked.derived(token)).toEqual(EDGE)
  expect(derivations.count).toBe(1)
})

it('one of a wrong secret is refused each time, also behind the right one', () => {
  const asked = key()
  const right = edgeOf(key())
  const wrong = { ...right, secret: Buffer.from(right.secret).reverse() }
  for (const one of [wrong, right, wrong, right, wrong])
    expect(asked.derived(one)).toEqual(one === right ? EDGE : undefined)
})

it('each of two keys of a file is known by its own, and by no file without it', () => {
  const newer = newSystemKey()
  const both = SystemKey.read(`${newer}\n${text}`, 'both')
  const tokens = [edgeOf(key()), edgeOf(SystemKey.read(newer, 'newer'))]
  for (const token of [...tokens, ...tokens]) expect(both.derived(token)).toEqual(EDGE)
  // The older line goes out of the file.
  const alone = SystemKey.read(newer, 'alone')
  expect(tokens.map((token) => alone.derived(token))).toEqual([undefined, EDGE])
})

it('a flood of made-up tokens pushes no right one out', () => {
  const asked = key()
  const right = edgeOf(key())
  asked.derived(right)
  for (let at = 0; at < 1500; at += 1) asked.derived({ id: `resource-r${at}`, secret: right.secret })
  derivations.count = 0
  expect(asked.derived(right)).toEqual(EDGE)
  expect(derivations.count).toBe(0)
})

it('the own token of a service is made once, and known when somebody shows it', () => {
  const own = key()
  for (let count = 0; count < 5; count += 1) expect(edgeOf(own)).toEqual(edgeOf(key()))
  expect(derivations.count).toBe(6)
  expect(own.derived(edgeOf(own))).toEqual(EDGE)
  expect(derivations.count).toBe(6)
})
