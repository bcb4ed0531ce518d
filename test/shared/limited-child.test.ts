import os from 'node:os'
import { describe, expect, it } from 'vitest'
import { runInLimitedChild } from '../../shared/platform/processes/limited-child.ts'
import { BELOW_SERVING } from '../../shared/platform/processes/priority.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import type { Job } from '../onnx/support/jobs.ts'

const MIB = 1024 * 1024
const module = new URL('../onnx/support/jobs.ts', import.meta.url)

function run(
  input: Job,
  more: { timeoutMs?: number; memoryLimitBytes?: number; signal?: AbortSignal; priority?: number } = {},
) {
  return runInLimitedChild<Job, unknown>({
    module,
    input,
    timeoutMs: PATIENCE_MS,
    memoryLimitBytes: 1024 * MIB,
    doing: 'trying "model.onnx"',
    ...more,
  })
}

describe('a job in a throw-away process', () => {
  it('gets its input and gives its output, typed arrays and big integers included', async () => {
    const value = { bytes: new Uint8Array([1, 2, 3]), big: 2n ** 60n, list: [1, 'a', null] }
    expect(await run({ do: 'echo', value })).toEqual(value)
  })

  it.skipIf(process.platform !== 'linux')(
    'has the priority that is asked for, on all its threads',
    async () => {
      const usual = (await run({ do: 'priorities' })) as number[]
      const low = (await run({ do: 'priorities' }, { priority: BELOW_SERVING })) as number[]
      expect(usual.length).toBeGreaterThan(1)
      expect(new Set(usual)).toEqual(new Set([os.getPriority()]))
      expect(new Set(low)).toEqual(new Set([Math.max(BELOW_SERVING, os.getPriority())]))
    },
  )

  it('reports progress in order', async () => {
    const seen: unknown[] = []
    const result = await runInLimitedChild<Job, string, { fraction: number }>({
      module,
      input: { do: 'progress', count: 4 },
      timeoutMs: PATIENCE_MS,
      memoryLimitBytes: 1024 * MIB,
      onProgress: ({ fraction }) => seen.push(fraction),
    })
    expect(result).toBe('done')
    expect(seen).toEqual([0.25, 0.5, 0.75, 1])
  })

  it('hands on its own refusals with code, message and details', async () => {
    await expect(run({ do: 'refuse' })).rejects.toMatchObject({
      name: 'ScissionError',
      code: 'needsInputShapes',
      message: 'give shapes',
      details: { dims: [{ input: 'x', axis: 0 }] },
    })
  })

  it('hands on other errors as what they are: bugs', async () => {
    const error = await run({ do: 'throw' }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      name: 'Error',
      message: 'a bug',
      stack: expect.stringContaining('jobs.ts'),
    })
  })

  it.each(['hang', 'block'] as const)('is stopped when its time is up: %s', async (what) => {
    await expect(run({ do: what }, { timeoutMs: 2500 })).rejects.toMatchObject({
      code: 'invalidModel',
      message: 'trying "model.onnx" took longer than 2500 ms and was stopped',
      details: { reason: 'timeout' },
    })
  })

  it.skipIf(process.platform !== 'linux')('is stopped when it takes too much memory', async () => {
    await expect(run({ do: 'eat' }, { memoryLimitBytes: 400 * MIB })).rejects.toMatchObject({
      code: 'invalidModel',
      message: expect.stringContaining('needed more than'),
      details: { reason: 'memory' },
    })
  })

  it('that crashes is reported with the signal', async () => {
    await expect(run({ do: 'die', signal: 'SIGSEGV' })).rejects.toMatchObject({
      code: 'invalidModel',
      message: 'ONNX Runtime crashed (SIGSEGV) while trying "model.onnx"',
      details: { reason: 'crash', signal: 'SIGSEGV' },
    })
  })

  it('that just ends is a bug, reported with its last words', async () => {
    await expect(run({ do: 'exit', code: 3 })).rejects.toThrow('ended with code 3: some last words')
  })

  it('is stopped when the caller gives up, before or after it began', async () => {
    const gone = AbortSignal.abort()
    await expect(run({ do: 'hang' }, { signal: gone })).rejects.toMatchObject({ code: 'cancelled' })
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 300)
    await expect(run({ do: 'hang' }, { signal: controller.signal })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })

  it('fails, and not the process that started it, when its input or its progress cannot be handled', async () => {
    await expect(run({ do: 'echo', value: () => 1 })).rejects.toThrow(/could not be cloned/)
    const broken = runInLimitedChild<Job, string>({
      module,
      input: { do: 'progress', count: 2 },
      timeoutMs: PATIENCE_MS,
      memoryLimitBytes: 1024 * MIB,
      onProgress: () => {
        throw new Error('nobody listens')
      },
    })
    await expect(broken).rejects.toThrow('nobody listens')
  })
})
