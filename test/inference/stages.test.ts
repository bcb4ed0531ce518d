import { describe, expect, it } from 'vitest'
import { Stages } from '../../services/inference/serving/models/stages.ts'
import { createLog } from '../../shared/platform/log.ts'
import { postJson } from './support/service.ts'
import { branchedModel, fp32Tensor, toyEngine } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'
import { until } from '../support/eventually.ts'

const toy = branchedModel('a')
const { id: model } = toy.model
const { shapesKey } = toy.structure
const key = (from: number, to: number) => ({ model, shapesKey, from, to })
const x = fp32Tensor('x', [1, 2])

function stagesWith(limitBytes: number) {
  const engine = toyEngine([toy])
  const log = createLog('test', 'silent')
  return { engine, stages: new Stages({ executor: engine.executor, loader: engine.loader, log }, limitBytes) }
}

describe('stages kept loaded', () => {
  it('are loaded once for all who ask', async () => {
    const { engine, stages } = stagesWith(1000)
    const held = await Promise.all([stages.need(key(0, 1), 10), stages.need(key(0, 1), 10)])
    expect(held[0]).toBe(held[1])
    expect(engine.loaded()).toEqual(['branched:0-1'])
  })

  it('make room by last use when their weights pass the limit', async () => {
    const { engine, stages } = stagesWith(100)
    await stages.need(key(0, 1), 40)
    await stages.need(key(0, 2), 40)
    await stages.need(key(0, 1), 40)
    await stages.need(key(0, 3), 40)
    expect(engine.loaded()).toEqual(['branched:0-1', 'branched:0-3'])
  })

  it('are never taken from under a run', async () => {
    const { engine, stages } = stagesWith(50)
    const release = engine.hold()
    const stage = await stages.need(key(0, 1), 40)
    const running = stage.run([x], {})
    await stages.need(key(0, 2), 40)
    expect(engine.loaded()).toContain('branched:0-1')
    release()
    await running
    await stages.need(key(0, 3), 40)
    expect(engine.loaded()).toEqual(['branched:0-3'])
  })

  it('that stayed only because they ran go when the run ends', async () => {
    const { engine, stages } = stagesWith(50)
    const release = engine.hold()
    const running = (await stages.need(key(0, 1), 40)).run([x], {})
    await stages.need(key(0, 2), 40)
    expect(engine.loaded()).toEqual(['branched:0-1', 'branched:0-2'])
    release()
    await running
    await until(async () => engine.loaded().length === 1)
    expect(engine.loaded()).toEqual(['branched:0-2'])
  })

  it('that are let go while they run are unloaded after it', async () => {
    const { engine, stages } = stagesWith(50)
    const release = engine.hold()
    const stage = await stages.need(key(0, 1), 40)
    const running = stage.run([x], {})
    await stages.drop(key(0, 1))
    expect(engine.loaded()).toEqual(['branched:0-1'])
    release()
    await running
    expect(engine.loaded()).toEqual([])
    await expect(stage.run([x], {})).rejects.toMatchObject({ code: 'notReady' })
  })

  it('may be larger than the limit when nothing else is there', async () => {
    const { stages } = stagesWith(10)
    const stage = await stages.need(key(0, 3), 500)
    expect((await stage.run([x], {})).outputs).toHaveLength(1)
  })
})

describe('the layers of a model', () => {
  const service = withToyService([toy])

  it('are let go when the model is deleted from the registry', async () => {
    const input = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
    const infer = (path: string) =>
      postJson(`${service.service.url}/v2/models/${path}/infer`, { inputs: [input] })
    await infer('branched')
    await infer('branched:0-1')
    expect(service.engine.loaded()).toEqual(['branched:0-3', 'branched:0-1'])
    await service.state.models.delete(model)
    await until(async () => service.engine.loaded().length === 0)
    expect((await infer('branched')).status).toBe(404)
  })
})

describe('ranges of a model without weights', () => {
  // Room for two sessions.
  const service = withToyService([toy], { SCISSION_STAGE_BYTES: '600000' })

  it('make room too: each session takes memory', async () => {
    const inputs = [{ name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }]
    for (const range of ['0-1', '0-2', '0-3'])
      await postJson(`${service.service.url}/v2/models/branched:${range}/infer`, { inputs })
    await until(async () => service.engine.loaded().length <= 2)
    expect(service.engine.loaded()).toContain('branched:0-3')
  })
})

describe('closing', () => {
  it('stops a load that is under way, and waits for nobody', async () => {
    const { engine, stages } = stagesWith(100)
    const opened = engine.holdLoads()
    const waiting = stages.need(key(0, 1), 10)
    waiting.catch(() => undefined)
    await until(async () => engine.heldLoads() === 1)
    await stages.close()
    await expect(waiting).rejects.toThrow(/was just unloaded/)
    opened()
    expect(engine.loaded()).toEqual([])
  })
})
