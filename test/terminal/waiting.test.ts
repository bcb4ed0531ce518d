/** Nobody waits in silence: what is being done is said at once, and again as long as it takes. */
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createProgress } from '../../infra/terminal/progress.ts'
import { sayWhileWaiting } from '../../infra/terminal/waiting.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }))
afterEach(() => void vi.useRealTimers())

/** A stream that is no terminal. */
function stream() {
  const through = new PassThrough()
  const out = through as unknown as NodeJS.WriteStream
  const printed = () => {
    through.end()
    return text(through)
  }
  return { out, printed }
}

describe('a step that takes long', () => {
  it('is said at once, then every two seconds with what it waits for', async () => {
    const { out, printed } = stream()
    const result = await sayWhileWaiting(
      'starting',
      async (waitFor) => {
        waitFor('Redis')
        await vi.advanceTimersByTimeAsync(2000)
        waitFor('edge, cl\u001boud')
        await vi.advanceTimersByTimeAsync(4000)
        return 5
      },
      out,
    )
    expect(result).toBe(5)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await printed()).toBe(
      '… starting\n  … starting: Redis (2.00 s)\n  … starting: edge, cl\\x1boud (4.00 s)\n  … starting: edge, cl\\x1boud (6.00 s)\n',
    )
  })

  it('that fails says nothing more', async () => {
    const { out, printed } = stream()
    await expect(sayWhileWaiting('starting', () => Promise.reject(new Error('no')), out)).rejects.toThrow(
      'no',
    )
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await printed()).toBe('… starting\n')
  })
})

it('a measurement says each step, and every two seconds how far a long one is', async () => {
  const { out, printed } = stream()
  const display = createProgress(out)
  const at = (step: string, fraction: number, remainingMs?: number) =>
    display.update('edge', { step, fraction, ...(remainingMs !== undefined && { remainingMs }) })
  vi.advanceTimersByTime(5000)
  at('load', 0)
  at('measure', 0.1)
  for (let tick = 1; tick <= 12; tick += 1) {
    vi.advanceTimersByTime(250)
    at('measure', 0.1 + tick / 100, 3000)
  }
  expect(await printed()).toBe('  edge: load\n  edge: measure\n  edge: measure, 3 s left (18 %)\n')
})
