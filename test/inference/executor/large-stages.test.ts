/** Stages whose session takes long to create: they load where nobody else waits. */
import { describe, expect, it } from 'vitest'
import { placeOf } from '../../../services/inference/serving/executor/stage-place.ts'
import { until } from '../../support/eventually.ts'
import { floats, fp32, manifestOf, type TinyModel } from '../tiny-models.ts'
import { useExecutor } from './executor-of-tiny-models.ts'
import { doubling, matrix, negations, slow, three } from './tiny-model-examples.ts'

const used = useExecutor()

/** ONNX Runtime takes a second or more to load them. */
const NODES = 20_000
const long = negations(NODES)

describe('a large stage', () => {
  it('holds up no run of another stage while it loads, on the only executor', async () => {
    used.start()
    const small = await used.loadModel(doubling)
    const order: string[] = []
    const loading = used.loadModel(long, [], 'threads of its own').then((stage) => {
      order.push('loaded')
      return stage
    })
    for (let run = 0; run < 3; run += 1) {
      const { outputs } = await used.executor.run(small, [three()])
      order.push(`run ${run}`)
      expect(floats(outputs[0])).toEqual([2, 4, 6])
    }
    const stage = await loading
    expect(order).toEqual(['run 0', 'run 1', 'run 2', 'loaded'])
    expect(floats((await used.executor.run(stage, [fp32('t0', [3], [1, 2, 3])])).outputs[0])).toEqual([
      1, 2, 3,
    ])
    expect(used.executor.stats().stages).toMatchObject([{ threads: 1 }, { threads: 1 }])
    await used.executor.unload(stage)
    expect(used.executor.stats().threads).toHaveLength(1)
  })

  it('computes in turn with the others: no more at once than there are executors', async () => {
    used.start()
    const stages = [await used.loadModel(slow, [], 'threads of its own'), await used.loadModel(slow)]
    const runs = await Promise.all(
      [0, 1, 0, 1].map(async (place) => {
        const stage = stages[place]
        if (!stage) throw new Error('not loaded')
        const { queueMs, computeMs } = await used.executor.run(stage, [matrix()])
        return { queueMs, computeMs }
      }),
    )
    // One after another: the last one has waited for all others.
    const [longest = 0] = runs.map(({ queueMs }) => queueMs).toSorted((a, b) => b - a)
    const all = runs.reduce((sum, { computeMs }) => sum + computeMs, 0)
    const most = Math.max(...runs.map(({ computeMs }) => computeMs))
    expect(longest).toBeGreaterThanOrEqual(all - 2 * most)
  })

  it('gets another thread when two of its runs meet, and runs where it is loaded meanwhile', async () => {
    used.start({ executors: 2 })
    const stage = await used.loadModel(slow, [], 'threads of its own')
    const threads = () => used.executor.stats().stages[0]?.threads
    expect(threads()).toBe(1)
    await Promise.all([1, 2].map(() => used.executor.run(stage, [matrix()])))
    await until(async () => threads() === 2)
    await Promise.all([1, 2, 3].map(() => used.executor.run(stage, [matrix()])))
    expect(threads()).toBe(2)
  })

  it('fails to load without harm', async () => {
    used.start()
    const unknown: TinyModel = { ...doubling, nodes: [{ op: 'NoSuch', inputs: ['x'], outputs: ['y'] }] }
    await expect(used.loadModel(unknown, [], 'threads of its own')).rejects.toMatchObject({
      code: 'invalidModel',
    })
    expect(used.executor.stats()).toMatchObject({ stages: [], threads: [{ stages: 0 }] })
  })
})

describe('the place of a stage', () => {
  const manifest = manifestOf(doubling)
  const chunk = (index: number) => ({ index, sha256: '' })
  const weights = (chunks: number) => [
    {
      path: 'w',
      bytes: 2 ** 30,
      chunkBytes: 2 ** 20,
      chunks: Array.from({ length: chunks }, (_, index) => chunk(index)),
    },
  ]
  it.each([
    ['shared threads', manifest, undefined],
    ['shared threads', manifest, { nodes: 1000 }],
    ['threads of its own', manifest, { nodes: 1001 }],
    ['shared threads', { ...manifest, weights: weights(64) }, { nodes: 10 }],
    ['threads of its own', { ...manifest, weights: weights(65) }, { nodes: 10 }],
    ['processes', { ...manifest, weights: weights(65) }, { nodes: 10, runaway: 'a Loop' }],
  ])('is %s', (place, given, tried) => {
    expect(placeOf(given, tried)).toBe(place)
  })
})
