/** Models that are loaded, asked for and unloaded at any moment of each other: the last word counts. */
import { beforeEach, describe, expect, it } from 'vitest'
import { Catalog } from '../../services/inference/serving/models/catalog.ts'
import { LoadedModels } from '../../services/inference/serving/models/loaded-models.ts'
import { ModelBatches } from '../../services/inference/serving/models/model-batches.ts'
import { ModelTargets } from '../../services/inference/serving/models/model-targets.ts'
import { RequestStructures } from '../../services/inference/serving/models/request-structures.ts'
import { Stages } from '../../services/inference/serving/models/stages.ts'
import { createLog } from '../../shared/platform/log.ts'
import { until } from '../support/eventually.ts'
import { withTestRedis } from '../support/redis.ts'
import { branchedModel, fp32Tensor, register, type ToyEngine, toyEngine } from './support/toy-models.ts'

const toy = branchedModel('a')
const other = branchedModel('b', { name: 'other' })
const log = createLog('test', 'silent')
const context = {
  signal: new AbortController().signal,
  deadline: undefined,
  id: undefined,
  parameters: {},
  outputs: undefined,
  headers: {},
}

const redis = withTestRedis()
let engine: ToyEngine
let catalog: Catalog
let structures: RequestStructures
let models: LoadedModels
let targets: ModelTargets

beforeEach(async () => {
  const { state } = redis()
  await state.redis.flushall()
  await register(state, toy)
  engine = toyEngine([toy, other])
  catalog = new Catalog(state)
  const stages = new Stages({ executor: engine.executor, loader: engine.loader, log }, 1000)
  const batching = { maxBatch: 1, batchDelayMs: 0 }
  const analyseOpen = () => Promise.reject(new Error('this toy has no open dimensions'))
  structures = new RequestStructures({ catalog, analyseOpen })
  const here = { resource: 'r', emulated: false }
  const batches = new ModelBatches(stages, batching.maxBatch)
  models = new LoadedModels({ catalog, structures, stages, batches, log })
  targets = new ModelTargets({ here, catalog, structures, loaded: models, batches, batching })
})
const stateNow = async () => (await models.stateOf(toy.model)).reason
const isDropped = async () => (await models.loaded()).length === 0
const infer = async (name: string) => (await targets.find(name)).infer([fp32Tensor('x', [1, 2])], context)

describe('a model that is unloaded', () => {
  for (const name of ['branched', 'branched:0-1']) {
    it(`while it is being loaded stays unloaded, and its load says so (${name})`, async () => {
      const go = engine.holdLoads()
      const loading = models.load(name)
      const outcome = expect(loading).rejects.toMatchObject({ code: 'notReady' })
      await until(async () => engine.heldLoads() === 1)
      const unloading = models.unload(name, false)
      await until(isDropped)
      go()
      await Promise.all([unloading, outcome])
      expect(engine.loaded()).toEqual([])
      expect(await models.loaded()).toEqual([])
    })
  }

  it('while a request for it is on its way to load it stays unloaded', async () => {
    const forModel = structures.forModel.bind(structures)
    structures.forModel = async (...args) => {
      await models.unload('branched', false)
      return forModel(...args)
    }
    await expect(infer('branched')).rejects.toMatchObject({ code: 'notReady' })
    expect(engine.loaded()).toEqual([])
    expect(await stateNow()).toBe('unloaded')
  })

  it('while a request waits for its load stays unloaded for the next one', async () => {
    const go = engine.holdLoads()
    const asked = expect(infer('branched')).rejects.toMatchObject({ code: 'notReady' })
    await until(async () => engine.heldLoads() === 1)
    const unloading = models.unload('branched', false)
    await until(isDropped)
    go()
    await Promise.all([asked, unloading])
    expect(engine.loaded()).toEqual([])
    await expect(infer('branched')).rejects.toThrow('is unloaded')
  })

  it('stays unloaded as a whole when one of its ranges is asked for', async () => {
    await models.load('branched')
    await models.unload('branched', true)
    await infer('branched:0-1')
    await expect(infer('branched')).rejects.toThrow('is unloaded')
    await models.load('branched')
    expect((await infer('branched')).outputs).toHaveLength(1)
  })

  it('stays unloaded as a whole when one of its ranges is loaded', async () => {
    await models.unload('branched', false)
    await models.load('branched:0-1')
    await infer('branched:0-1')
    expect(await stateNow()).toBe('unloaded')
    await expect(infer('branched')).rejects.toThrow('is unloaded')
  })

  it('stays unloaded when a load that was under way fails', async () => {
    const go = engine.holdLoads()
    const loading = models.load('branched').catch(() => undefined)
    await until(async () => engine.heldLoads() === 1)
    engine.failLoads.set(toy.model.id, 'no such operator')
    void models.unload('branched', false)
    go()
    await loading
    expect(await stateNow()).toBe('unloaded')
  })
})

describe('a model that was deleted unheard', () => {
  it('is unloaded at the next change of a model, and does not keep others from being listed', async () => {
    await register(redis().state, other)
    await models.load('branched:0-1')
    await models.load('other:0-1')
    await redis().state.models.delete(toy.model.id)
    const change = { kind: 'models', id: other.model.id }
    catalog.onChange(change)
    expect(await models.loaded()).toMatchObject([{ name: 'other:0-1' }])
    models.onChange(change)
    await until(async () => engine.loaded().length === 1)
    expect(await models.loaded()).toMatchObject([{ name: 'other:0-1' }])
  })
})
