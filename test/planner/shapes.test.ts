/** Deployments for a range of shapes: the plan's layers in the numbering of the model's open structure. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { Structure } from '../../shared/contracts/model.ts'
import { openShapesKeyOf } from '../../shared/onnx/index.ts'
import { structureId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleModel, exampleStructure, MODEL_ID } from '../support/fixtures.ts'
import { type Answer, errorOf, plansOf, usePlanner } from './harness.ts'

const { used, ask } = usePlanner()

const model = exampleModel({ inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 250] }] })
const key = openShapesKeyOf(model.inputs)

/** The example's layers, with two more that compute sizes: size0 before layer 1, size1 before layer 3, read by layer 3. */
function openStructure(): Structure {
  const fixed = exampleStructure()
  const made = [
    ['layer0', 't0'],
    ['sizes0', 'size0'],
    ['layer1', 't1'],
    ['layer2', 't2'],
    ['sizes1', 'size1'],
    ['layer3', 'y'],
  ] as const
  const [template] = fixed.layers
  if (!template) throw new Error('the example has layers')
  const layers = made.map(([name, output], index) => ({
    ...template,
    index,
    name,
    outputs: [{ name: output, datatype: 'FP32' as const, shape: [-1, 2], bytes: 8 }],
  }))
  const crossing = [['x'], ['t0'], ['t0', 'size0'], ['t1', 'size0'], ['t2', 'size0'], ['t2', 'size1'], ['y']]
  const boundaries = crossing.map((tensors, k) => ({
    k,
    tensors,
    bytes: tensors.length * 8,
    single: false,
    clean: true,
    allowed: true,
  }))
  return { ...fixed, shapesKey: key, open: true, layers, boundaries }
}

beforeEach(async () => {
  await used.state.models.put(MODEL_ID, model)
})

const plan = () => ask('/v1/plans?model=chain&top=1&firstLayersOnDevice=2&minStages=2&maxStages=2')
/** The planner hears of what the test wrote to Redis a moment later. */
const planId = () =>
  eventually(async () => {
    const [first] = plansOf(await plan())
    expect(first).toBeDefined()
    return first?.id ?? ''
  })
const deploy = async (shapes: unknown, name: string): Promise<Answer> =>
  ask('/v1/deployments', { plan: await planId(), name, shapes })

describe('a deployment for a range of shapes', () => {
  it('has the plan’s layers in the numbering of the open structure, and the ranges of all inputs', async () => {
    await used.state.structures.put(structureId(MODEL_ID, key), openStructure())
    const [{ stages } = { stages: [] }] = plansOf(await plan())
    const cut = stages[0]?.to ?? 0
    const { status, body } = await deploy({ x: ['1..8', '250'] }, 'wide')
    expect(status).toBe(202)
    // Of the boundaries between the same layers, the one that the fewest bytes cross.
    const places = [0, 1, 3, 4, 6]
    expect(body).toMatchObject({
      shapesKey: key,
      shapes: { x: ['1..8', '250'] },
      hops: [
        { resource: 'device', from: 0, to: places[cut] },
        { from: places[cut], to: 6 },
      ],
    })
    const other = await deploy({ x: ['1..9', '250'] }, 'wide')
    expect([other.status, errorOf(other).message]).toEqual([
      409,
      expect.stringContaining('already runs this plan for x:1..8x250'),
    ])
    expect((await deploy({ x: ['1..8', '250'] }, 'wide')).status).toBe(202)
  })

  it('is refused with the remedy where the model was not analysed with open dimensions', async () => {
    // Until the planner hears of the model with open dimensions, it knows the one before it.
    await eventually(async () => {
      const { status, body } = await deploy({ x: ['1..8', '250'] }, 'early')
      expect(status).toBe(409)
      expect(JSON.stringify(body)).toContain('POST /v1/models/chain/layers with')
    })
  })

  it('is refused where the open structure has no such cut', async () => {
    const open = openStructure()
    const nowhere = open.boundaries.map((boundary) => ({
      ...boundary,
      allowed: boundary.k === 0 || boundary.k === 6,
    }))
    await used.state.structures.put(structureId(MODEL_ID, key), { ...open, boundaries: nowhere })
    // As above.
    await eventually(async () => {
      const { status, body } = await deploy({ x: ['1..8', '250'] }, 'nowhere')
      expect(status).toBe(409)
      expect(JSON.stringify(body)).toMatch(
        /cuts at boundary \d, between layers .*with open dimensions the model has no such boundary/,
      )
    })
  })

  it('is refused for ranges that contradict the model', async () => {
    await used.state.structures.put(structureId(MODEL_ID, key), openStructure())
    for (const [shapes, reason] of [
      [{ z: ['1'] }, 'no input'],
      [{ x: ['1..8', '249'] }, 'which is not open'],
      [{ x: ['8..1', '250'] }, 'begins with the smaller one'],
      [{ x: 'wide' }, 'shapes'],
    ] as const) {
      const answer = await deploy(shapes, 'wrong')
      expect([answer.status, JSON.stringify(answer.body)]).toEqual([400, expect.stringContaining(reason)])
    }
  })
})
