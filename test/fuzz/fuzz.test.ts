/**
 * A sample of `npm run bench -- fuzz`: damaged input of every kind that comes from outside breaks nothing. What is printed of an input
 * that does runs it again; once mended, it goes to regressions.ts.
 */
import { describe, expect, it } from 'vitest'
import { drawFrom } from './draw.ts'
import { mutateJson } from './mutate-json.ts'
import { REGRESSIONS } from './regressions.ts'
import { replay, runTarget, told } from './run.ts'
import { checkStatus } from './ask.ts'
import { allowed, inputOf, type Target, text } from './target.ts'
import { TARGETS } from './targets.ts'

const SEED = 20_261_130

describe('damaged input', () => {
  it.each(TARGETS)('of $name breaks no law', async (target) => {
    const { inputs, broken } = await runTarget(target, { seed: SEED, count: target.sample })
    expect(broken.map(told)).toEqual([])
    expect(inputs).toBe(target.sample)
  })

  it.each(REGRESSIONS)(
    'that broke $target once breaks it no more: $what',
    async ({ target: name, base64 }) => {
      const target = TARGETS.find((one) => one.name === name)
      expect(target).toBeDefined()
      expect(target && (await replay(target, base64))).toBeUndefined()
    },
  )
})

describe('the fuzzer', () => {
  const target = (run: (input: Uint8Array) => void | Promise<void>): Target => ({
    name: 'own',
    share: 1,
    sample: 1,
    deadlineMs: 50,
    growthBytes: 2 ** 40,
    open: () => ({ seeds: [text({ a: [1, 'b', { c: null }] })], run }),
  })
  const plan = { seed: SEED, count: 5 }

  it('makes the same inputs of a seed, and others of others', () => {
    const inputs = Array.from({ length: 200 }, (_, at) =>
      inputOf({}, [text({ a: 1 })], SEED + at).toString('base64'),
    )
    const again = Array.from({ length: 200 }, (_, at) =>
      inputOf({}, [text({ a: 1 })], SEED + at).toString('base64'),
    )
    expect(again).toEqual(inputs)
    expect(new Set(inputs).size).toBeGreaterThan(100)
  })

  it('damages JSON so that it mostly stays JSON', () => {
    const seed = text({ a: [1, 'b', { c: null }], d: { e: 'f' } })
    const made = Array.from({ length: 200 }, (_, at) => mutateJson(seed, drawFrom(at))?.toString() ?? '')
    const isJson = (given: string) => {
      try {
        JSON.parse(given)
        return true
      } catch {
        return false
      }
    }
    expect(made.filter(isJson).length).toBeGreaterThan(180)
    expect(mutateJson(text('{'), drawFrom(1))).toBeUndefined()
  })

  it('tells of an error that is no refusal, of one that nobody has caught, and of an input that never ends', async () => {
    const failing = target(() => allowed(new TypeError('not ours')))
    const { broken } = await runTarget(failing, plan)
    expect(broken.map(({ error }) => error.message)).toEqual(Array.from({ length: 5 }, () => 'not ours'))
    expect(told(broken[0]!)).toContain(`--target own --replay ${broken[0]?.base64}`)
    const endless = await runTarget(
      target(() => new Promise(() => undefined)),
      { ...plan, count: 1 },
    )
    expect(endless.broken[0]?.error.message).toMatch(/has not settled after 50 ms/)
  })

  it('takes a status for a fault if it blames the service, but for 501 and 503', () => {
    for (const status of [500, 502, 504, 507])
      expect(() => checkStatus(status, 'why')).toThrow(`${status}: why`)
    for (const status of [200, 400, 413, 429, 501, 503]) expect(() => checkStatus(status, '')).not.toThrow()
  })
})
