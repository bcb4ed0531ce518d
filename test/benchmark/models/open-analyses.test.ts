/** Analyses that clients' shapes cause: one per model, few at once, none again that has just failed. */
import { describe, expect, it } from 'vitest'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import { OpenAnalyses } from '../../../services/benchmark/models/open-analyses.ts'
import { openShapesKeyOf } from '../../../shared/onnx/index.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { exampleModel, exampleStructure } from '../../support/fixtures.ts'
import { gate } from '../../support/gate.ts'

const inputs: Model['inputs'] = ['ids', 'mask'].map((name) => ({
  name,
  datatype: 'INT64',
  shape: ['batch', 'length'],
}))
const open = exampleModel({ inputs, inputShapes: null, shapesKey: null })
const ASKER = { client: 'a' }
const sentence = (length: number): InputShapes => ({ ids: [1, length], mask: [1, length] })

function analyses(analyse: (tried: InputShapes) => Promise<void> = async () => undefined) {
  const stored = new Map<string, Structure>()
  const tried: InputShapes[] = []
  const structures = {
    find: async (id: string) => stored.get(id),
    put: async (id: string, made: Structure) => void stored.set(id, made),
  }
  const made = new OpenAnalyses({
    store: { structure: async () => undefined },
    state: { structures } as unknown as ConstructorParameters<typeof OpenAnalyses>[0]['state'],
    analyse: async (model, shapes) => {
      tried.push(shapes)
      await analyse(shapes)
      return { ...exampleStructure(), model: model.id, shapesKey: openShapesKeyOf(model.inputs), open: true }
    },
  })
  return { analyses: made, tried, stored }
}

const refusal = (reason: string) => new ScissionError('invalidModel', reason)

describe('the open structure of a model', () => {
  it('is made once, however many ask at the same time and with whatever shapes', async () => {
    const { analyses: made, tried, stored } = analyses()
    const asked = [3, 1, 4, 1, 5].map((length) => made.structure(open, ASKER, sentence(length)))
    expect(new Set((await Promise.all(asked)).map(({ shapesKey }) => shapesKey)).size).toBe(1)
    await made.structure(open, ASKER, sentence(9))
    expect(tried).toEqual([sentence(3)])
    expect(stored.size).toBe(1)
  })

  it('fills in what the symbols of one input say about another', async () => {
    const { analyses: made, tried } = analyses()
    await made.structure(open, ASKER, { ids: [2, 7] })
    expect(tried).toEqual([{ ids: [2, 7], mask: [2, 7] }])
  })

  it('is tried with the model’s own shapes if none are given, and needs some if it has none', async () => {
    const { analyses: made, tried } = analyses()
    await expect(made.structure(open, ASKER)).rejects.toMatchObject({ code: 'needsInputShapes' })
    await made.structure({ ...open, inputShapes: sentence(8) }, ASKER)
    expect(tried).toEqual([sentence(8)])
  })

  it('is refused for a file that leaves nothing open, and for shapes that contradict it', async () => {
    const { analyses: made, tried } = analyses()
    await expect(made.structure(exampleModel(), ASKER)).rejects.toMatchObject({ code: 'badRequest' })
    await expect(made.structure(open, ASKER, { ids: [1, 2, 3] })).rejects.toMatchObject({
      code: 'badRequest',
    })
    expect(tried).toEqual([])
  })
})

describe('a shape with which the model does not run', () => {
  it('is not tried again for a while; another one is', async () => {
    const { analyses: made, tried } = analyses(async ({ ids = [] }) => {
      if ((ids[1] ?? 0) > 100) throw refusal('too long')
    })
    for (let i = 0; i < 5; i += 1)
      await expect(made.structure(open, ASKER, sentence(101))).rejects.toThrow(
        /ids:1x101.*too long.*not tried again for 60 s/,
      )
    expect(tried).toEqual([sentence(101)])
    await made.structure(open, ASKER, sentence(7))
    expect(tried).toEqual([sentence(101), sentence(7)])
  })

  it('is tried again if the failure was not its own', async () => {
    let away = true
    const { analyses: made, tried } = analyses(async () => {
      if (away) throw new ScissionError('cancelled', 'the service closes')
    })
    await expect(made.structure(open, ASKER, sentence(5))).rejects.toMatchObject({ code: 'cancelled' })
    away = false
    await made.structure(open, ASKER, sentence(5))
    expect(tried).toHaveLength(2)
  })
})

describe('many models at once', () => {
  const models = Array.from({ length: 20 }, (_, index) => ({
    ...open,
    id: String(index).padStart(64, '0') as Model['id'],
  }))

  it('of one client are analysed one after another, and those beyond its limit are refused at once; another client is not held up', async () => {
    const held = gate()
    const go = held.close()
    let running = 0
    let most = 0
    const { analyses: made } = analyses(async () => {
      running += 1
      most = Math.max(most, running)
      await held.opened()
      running -= 1
    })
    const outcomes = models.map((model) =>
      made.structure(model, ASKER, sentence(2)).then(
        () => 'made',
        (error: ScissionError) => error.code,
      ),
    )
    await expect.poll(() => held.waiting()).toBe(1)
    const other = made.structure({ ...open, id: 'f'.repeat(64) as Model['id'] }, { client: 'b' }, sentence(2))
    await expect.poll(() => held.waiting()).toBe(2)
    go()
    await other
    const ends = await Promise.all(outcomes)
    expect(ends.filter((end) => end === 'tooManyRequests')).toHaveLength(4)
    expect(ends.filter((end) => end === 'made')).toHaveLength(16)
    // One of each client.
    expect(most).toBe(2)
  })
})
