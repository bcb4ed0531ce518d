/** Large shapes of stages that take any: tried in a child once, remembered, refused with the reason. */
import { describe, expect, it } from 'vitest'
import { ShapeGuard } from '../../../services/inference/serving/executor/shape-guard.ts'
import type { LoadedStage } from '../../../services/inference/serving/executor/executor.ts'
import { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { gate } from '../../support/gate.ts'

const MEMORY = 8_000_000

/** Its tensors took 1 kB with 10 elements: 1000 elements are let through, 320 elements at the least are tried. */
function stage(changes: Partial<RangeManifest> = {}): LoadedStage {
  const manifest: RangeManifest = {
    model: ModelId.parse('a'.repeat(64)),
    shapesKey: ShapesKey.parse('b'.repeat(12)),
    from: 0,
    to: 3,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, -1], bytes: 40 }],
    outputs: [],
    passThrough: [],
    peakBytes: 1000,
    onnx: { bytes: 1, sha256: 'c'.repeat(64) },
    weights: [],
    ...changes,
  }
  return { key: 'stage', path: 'stage.onnx', manifest, options: { threads: 1, optimisation: 'all' } }
}

const x = (...shape: number[]): Tensor[] => {
  const count = shape.reduce((product, dim) => product * dim, 1)
  return [{ name: 'x', datatype: 'FP32', shape, bytes: new Uint8Array(4 * count) }]
}

function guard(tryOnce: () => Promise<void> = async () => undefined) {
  const tried: string[] = []
  const made = new ShapeGuard({
    memoryBytes: MEMORY,
    tryOnce: async (_stage, inputs) => {
      tried.push(inputs.map(({ shape }) => shape.join('x')).join())
      await tryOnce()
    },
  })
  const admit = (shape: number[], given = stage(), client = 'one', deadline?: number) =>
    made.admit(given, x(...shape), { client, deadline })
  return { admit, tried }
}

const broke = (reason: string) => new ScissionError('invalidModel', 'ONNX Runtime stopped', { reason })

describe('a shape', () => {
  it('is let through where the estimate is small, and for stages of fixed shapes', async () => {
    const { admit, tried } = guard()
    for (const shape of [
      [1, 1],
      [1, 10],
      [2, 100],
      [0, 5],
    ])
      await admit(shape)
    const { peakBytes: _none, ...fixed } = stage().manifest
    await admit([1000, 1000], { ...stage(), manifest: fixed })
    await admit([1000, 1000], { ...stage(), path: null })
    expect(tried).toEqual([])
  })

  it('is tried once where it is not; those that are no larger in any dimension follow', async () => {
    const { admit, tried } = guard()
    for (const shape of [
      [10, 100],
      [10, 100],
      [9, 100],
      [10, 99],
    ])
      await admit(shape)
    expect(tried).toEqual(['10x100'])
    await admit([100, 10])
    await admit([5, 101])
    expect(tried).toEqual(['10x100', '100x10', '5x101'])
  })

  it('is tried once for several requests that come together', async () => {
    const { admit, tried } = guard()
    await Promise.all([admit([10, 100]), admit([10, 100]), admit([10, 99])])
    expect(tried).toEqual(['10x100'])
  })

  it('is remembered while few others are larger; one that grew counts once', async () => {
    const { admit, tried } = guard()
    await admit([2000, 1])
    for (let length = 400; length < 440; length += 1) await admit([1, length])
    tried.length = 0
    await admit([2000, 1])
    expect(tried).toEqual([])
    for (let index = 0; index < 32; index += 1) await admit([2 + index, 1000 - index])
    tried.length = 0
    await admit([2000, 1])
    expect(tried).toEqual(['2000x1'])
  })

  it('is refused if it breaks a limit, with the setting, and not tried again soon', async () => {
    for (const [reason, code, text] of [
      ['memory', 'payloadTooLarge', 'SCISSION_TRIAL_MEMORY_BYTES sets the limit'],
      ['timeout', 'payloadTooLarge', 'SCISSION_TRIAL_TIMEOUT_MS sets the limit'],
      ['crash', 'invalidTensor', 'x:10x100'],
    ] as const) {
      const { admit, tried } = guard(() => Promise.reject(broke(reason)))
      for (let i = 0; i < 3; i += 1)
        await expect(admit([10, 100])).rejects.toMatchObject({ code, message: expect.stringContaining(text) })
      expect(tried).toEqual(['10x100'])
    }
  })

  it('is refused before any trial if it is no input of the stage', async () => {
    const { admit, tried } = guard()
    await expect(admit([1000])).rejects.toMatchObject({ code: 'invalidTensor' })
    expect(tried).toEqual([])
  })

  it('waits for others one after another; beyond the limit it is refused at once', async () => {
    const held = gate()
    const go = held.close()
    const { admit, tried } = guard(() => held.opened())
    const outcomes = Array.from({ length: 12 }, (_, index) =>
      admit([index + 1, 2000 - index]).then(
        () => 'admitted',
        (error: ScissionError) => error.code,
      ),
    )
    await expect.poll(() => held.waiting()).toBe(1)
    expect(tried).toHaveLength(1)
    go()
    const ends = await Promise.all(outcomes)
    expect(ends.filter((end) => end === 'tooManyRequests')).toHaveLength(3)
    expect(ends.filter((end) => end === 'admitted')).toHaveLength(9)
  })

  it('of another client does not wait for all that a client has sent', async () => {
    const held = gate()
    const go = held.close()
    const { admit, tried } = guard(() => held.opened())
    const outcomes = [1, 2, 3, 4].map((rows) => admit([rows, 2000 - rows]))
    outcomes.push(admit([5, 1500], stage(), 'other'))
    await expect.poll(() => held.waiting()).toBe(1)
    go()
    await Promise.all(outcomes)
    expect(tried.indexOf('5x1500')).toBeLessThanOrEqual(2)
  })

  it('is not tried if nobody waits for it any more', async () => {
    const held = gate()
    const go = held.close()
    const { admit, tried } = guard(() => held.opened())
    const first = admit([1, 2000])
    const late = admit([2, 1900], stage(), 'late', performance.now()).catch(
      (error: ScissionError) => error.code,
    )
    await expect.poll(() => held.waiting()).toBe(1)
    go()
    expect([await first, await late, tried]).toEqual([undefined, 'deadlineExceeded', ['1x2000']])
  })
})
