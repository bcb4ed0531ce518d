/** Requests to whole models whose shapes nobody had analysed. */
import { describe, expect, it } from 'vitest'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { anySize, classifier, encoder, mixing, pairs, POSITIONS } from '../onnx/support/open-models.ts'
import { call } from './support/service.ts'
import { picture, refusal, send, sentence, TIERS, useShapes } from './shapes-system.ts'

const { at, client, expectSame, fileOf, redis, start, structureFiles, upload, whole } = useShapes()

describe('a model whose shapes nobody gave', () => {
  it('takes any shape, from several services at once, after one analysis', async () => {
    const { id, inputShapes } = await upload('first', encoder())
    expect(inputShapes).toBeNull()
    const shapes = [1, 2, 3, 5, 8, 13, 21, 34].map((length) => sentence(1 + (length % 2), length))
    await Promise.all(
      shapes.map((inputs, index) => expectSame('first', whole('first', TIERS[index % 3]), inputs)),
    )
    expect(await structureFiles(id)).toHaveLength(1)
    expect((await redis().state.structures.all()).filter(({ model }) => model === id)).toHaveLength(1)
  })

  it('is one session for all of them', async () => {
    const { json } = await call('GET', `${at('device')}/v2/models/stats`)
    const names = (json as { model_stats: { name: string }[] }).model_stats.map(({ name }) => name)
    expect(names.filter((name) => name.startsWith('first'))).toEqual(['first'])
  })

  it('is refused with the reason if it contradicts what the file declares', async () => {
    const [ids, mask] = sentence(1, 8) as [Tensor, Tensor]
    const [, shorter] = sentence(1, 7) as [Tensor, Tensor]
    expect(await refusal(send(whole('first'), [ids, shorter]))).toEqual({
      status: 400,
      error: expect.stringMatching(/does not run with ids:1x8,mask:1x7/),
    })
    const flat = { ...ids, shape: [8] }
    expect((await refusal(send(whole('first'), [flat, mask]))).error).toContain(
      'has shape [8], expected [-1,-1]',
    )
    expect((await refusal(send(whole('first'), [ids]))).error).toContain('missing input tensor "mask"')
  })

  it('is refused as the request’s fault if the model does not run with it', async () => {
    const { status, error } = await refusal(send(whole('first'), sentence(1, POSITIONS + 1)))
    expect(status).toBe(400)
    expect(error).toContain(`does not run with ids:1x${POSITIONS + 1}`)
    await expectSame('first', whole('first'), sentence(1, 9))
  })

  it('is not analysed again soon if it failed, and others are', async () => {
    const { id } = await upload('picky', encoder('ids'))
    const long = () => refusal(send(whole('picky'), sentence(1, POSITIONS + 1)))
    const first = await long()
    expect(first).toEqual({ status: 422, error: expect.stringContaining(`ids:1x${POSITIONS + 1}`) })
    expect(await long()).toEqual(first)
    expect(await structureFiles(id)).toEqual([])
    await expectSame('picky', whole('picky'), sentence(2, 4))
    // Now it is known that the model runs, and this shape does not.
    expect((await long()).status).toBe(400)
  })

  it('waits for its analysis within its own time', async () => {
    await upload('late', encoder())
    const { status, error } = await refusal(
      send(whole('late'), sentence(1, 3), { parameters: { timeout: 1000 } }),
    )
    expect(status).toBe(504)
    expect(error).toContain('analysing model late with open dimensions: not done before its deadline')
    await expectSame('late', whole('late'), sentence(1, 3))
  })
})

describe('a model with shapes of its own', () => {
  it('takes other sizes of its open dimensions', async () => {
    const { inputShapes } = await upload('pictures', classifier())
    expect(inputShapes).toEqual({ x: [1, 3, 8, 8] })
    for (const batch of [1, 4, 2, 9])
      await expectSame('pictures', whole('pictures'), picture([batch, 3, 8, 8]))
    expect((await refusal(send(whole('pictures'), picture([1, 3, 8, 9])))).status).toBe(400)
  })

  it('takes them with batching, too, which is for its own sizes', async () => {
    const service = await start('batching', { SCISSION_TIER: 'edge', SCISSION_MAX_BATCH: '4' })
    try {
      const model = await upload('both', encoder())
      await client().uploadModel(fileOf('both'), 'both', { inputShapes: { ids: [1, 6], mask: [1, 6] } })
      expect(model.id).toBeDefined()
      const url = `${service.url}/v2/models/both/infer`
      for (const [batch, length] of [
        [1, 6],
        [3, 6],
        [2, 11],
        [1, 2],
      ] as const)
        await expectSame('both', url, sentence(batch, length))
      await upload('mixing', mixing())
      await client().uploadModel(fileOf('mixing'), 'mixing', { inputShapes: { x: [1, 6] } })
      for (const shape of [
        [2, 6],
        [2, 11],
      ])
        expect(await refusal(send(`${service.url}/v2/models/mixing/infer`, picture(shape)))).toEqual({
          status: 400,
          error: expect.stringMatching(/batch-size must be <= 1 for 'mixing', got 2; 2 at once: "y" differs/),
        })
      await expectSame('mixing', whole('mixing'), picture([2, 6]))
      await expectSame('mixing', `${service.url}/v2/models/mixing/infer`, picture([1, 11]))
    } finally {
      await service.stop()
    }
  })

  it('takes sizes without names', async () => {
    await upload('any-size', anySize())
    for (const size of [
      [8, 8],
      [5, 31],
      [64, 2],
    ])
      await expectSame('any-size', whole('any-size'), picture([1, 3, ...size]))
  })
})

describe('a shape that needs more memory than there is', () => {
  it('is refused with the setting, and ends neither the service nor other requests', async () => {
    const service = await start('small', {
      SCISSION_TIER: 'edge',
      SCISSION_TRIAL_MEMORY_BYTES: String(600 * 2 ** 20),
    })
    try {
      await upload('pairs', pairs())
      const url = `${service.url}/v2/models/pairs/infer`
      const [ids] = sentence(1, 16_000) as [Tensor]
      const short = sentence(1, 300).slice(0, 1)
      await expectSame('pairs', url, short)
      const [refused] = await Promise.all([refusal(send(url, [ids])), expectSame('pairs', url, short)])
      expect(refused.status).toBe(413)
      expect(refused.error).toContain('ids:1x16000 are too much for this resource')
      expect(refused.error).toContain('SCISSION_TRIAL_MEMORY_BYTES')
      // So much that the operating system gives none of it.
      const [endless] = sentence(1, 300_000) as [Tensor]
      expect(await refusal(send(url, [endless]))).toEqual({
        status: 413,
        error: expect.stringMatching(
          /ids:1x300000 are too much for this resource.*Failed to allocate memory/,
        ),
      })
      await expectSame('pairs', url, short)
    } finally {
      await service.stop()
    }
  })
})
