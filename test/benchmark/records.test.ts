/** Records that the benchmark service and others write at the same time. */
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Benchmarks, openBenchmarks } from '../../services/benchmark/benchmarks/open-benchmarks.ts'
import { type AdmitModels, storeOriginal } from '../../services/benchmark/benchmarks/import-original.ts'
import { type Admit, startBenchmark } from '../../services/benchmark/benchmarks/start-benchmark.ts'
import { type CalibrationDeps, endCalibration } from '../../services/benchmark/calibrations/calibrations.ts'
import { SampleFiles } from '../../services/benchmark/calibrations/sample-files.ts'
import { ModelStore } from '../../services/benchmark/models/model-store.ts'
import { Registry } from '../../services/benchmark/models/registry.ts'
import { createLog } from '../../shared/platform/log.ts'
import { ModelId } from '../../shared/contracts/common.ts'
import { namesOf } from '../../shared/contracts/model-names.ts'
import { OWN_WORK } from '../../shared/platform/http-server/client-of.ts'
import { NAMES_LOCK, withLock } from '../../shared/platform/redis/lock.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import {
  exampleCalibration,
  exampleDeployment,
  exampleModel,
  exampleResource,
  exampleStructure,
  hop,
} from '../support/fixtures.ts'
import { afterNextRead } from '../support/interleave.ts'
import { withTestRedis } from '../support/redis.ts'

const log = createLog('test', 'silent')

const redis = withTestRedis()
/** The records as the service sees them, and as somebody else does. */
let state: State
let other: State
let folder: string
let benchmarks: Benchmarks

beforeEach(async () => {
  state = redis().openState()
  other = redis().state
  await other.redis.flushall()
  folder = await mkdtemp(path.join(os.tmpdir(), 'scission-records-'))
  const config = { redisUrl: redis().url, redisKind: 'emulated' as const, heartbeatMs: 60_000 }
  benchmarks = openBenchmarks({ ...config, benchmarkTimeoutMs: 60_000, maxClientStreams: 256 }, state, log)
})
afterEach(async () => {
  await benchmarks.close()
  await rm(folder, { recursive: true, force: true })
})

/** A registry with one model in its store and on record. */
async function registryOf(): Promise<{ registry: Registry; store: ModelStore }> {
  const store = new ModelStore(folder, log)
  await store.open()
  const registry = new Registry(store, state, log)
  const { name: _name, version: _version, ...record } = exampleModel()
  await registry.add({ folder: await store.newIncoming(), chunks: {}, record }, 'chain')
  return { registry, store }
}

describe('a model', () => {
  it('that is deleted while the registry is being restored stays deleted', async () => {
    const { registry, store } = await registryOf()
    await state.models.delete(exampleModel().id)
    const keys = store.structureKeys.bind(store)
    let removal: Promise<void> | undefined
    store.structureKeys = async (id) => {
      const found = await keys(id)
      removal ??= registry.remove(exampleModel())
      await Promise.race([removal, sleep(100)])
      return found
    }
    await registry.restore()
    await removal
    expect(await other.models.get(exampleModel().id)).toBeUndefined()
  })

  it('keeps a name that it was given while the registry was being restored', async () => {
    const { registry } = await registryOf()
    await state.models.delete(exampleModel().id)
    const renamed = exampleModel({ aliases: [{ name: 'other', version: 1 }] })
    const has = state.models.has.bind(state.models)
    state.models.has = async (id) => {
      const known = await has(id)
      await other.models.put(id, renamed)
      return known
    }
    afterNextRead(state.redis, 'scission:models', () => other.models.put(renamed.id, renamed))
    await registry.restore()
    expect(await other.models.get(renamed.id)).toEqual(renamed)
  })

  it('does not get a name that a deployment has, nor one that a deployment gets in that moment', async () => {
    const { registry, store } = await registryOf()
    const model = exampleModel()
    const folder = await store.newIncoming()
    const id = ModelId.parse('b'.repeat(64))
    const { name: _name, version: _version, ...record } = exampleModel({ id })
    let naming: Promise<unknown>[] = []
    await withLock(other.redis, NAMES_LOCK, async () => {
      naming = [registry.addName(model.id, 'live'), registry.add({ folder, chunks: {}, record }, 'live')]
      await Promise.race([Promise.allSettled(naming), sleep(100)])
      await other.deployments.put('live', exampleDeployment('live', [hop('device', 0, 4)]))
    })
    for (const attempt of naming) await expect(attempt).rejects.toMatchObject({ code: 'conflict' })
    expect(namesOf(await other.models.need(model.id)).map(({ name }) => name)).toEqual(['chain'])
    expect(await other.models.get(id)).toBeUndefined()
  })

  it('that is deleted just before a benchmark of it begins is not benchmarked', async () => {
    await state.resources.put('device', exampleResource('device'))
    const request = { model: 'chain', maxAgeMs: 0, force: false }
    const admit: Admit = (work) => work({ owner: undefined })
    const applicant = { asker: OWN_WORK, admit }
    await expect(
      startBenchmark(benchmarks.deps, exampleStructure(), request, applicant),
    ).rejects.toMatchObject({
      code: 'notFound',
    })
    expect(await benchmarks.deps.queues.parents.getJobCounts()).toMatchObject({
      waiting: 0,
      'waiting-children': 0,
    })
  })
})

describe('a calibration', () => {
  it('that is deleted by another request while it is being cancelled stays deleted', async () => {
    const id = 'aaaaaaaaaaaa-bbbbbbbbbbbb'
    await state.calibrations.put(id, exampleCalibration(id))
    const job = { getState: async () => 'waiting', remove: () => other.calibrations.delete(id) }
    const parts = {
      state,
      queues: { of: () => ({ getJob: async () => job }) },
      samples: new SampleFiles(folder),
    } as unknown as CalibrationDeps
    expect(await endCalibration(parts, id)).toBeUndefined()
    expect(await other.calibrations.get(id)).toBeUndefined()
  })
})

const ofNobody: AdmitModels = (_, work) => work({ owner: undefined })
const BLOCKS = [[0, 1, 0.25, 70_000]]

describe('a network of the original’s', () => {
  it('does not take a name that a deployment gets in that moment', async () => {
    const document = { systems: { one: { tier: 'edge', name: 'far', models: { Tiny: { blocks: BLOCKS } } } } }
    let storing: Promise<unknown> | undefined
    await withLock(other.redis, NAMES_LOCK, async () => {
      storing = storeOriginal(state, document, Date.now(), ofNobody)
      await Promise.race([storing.catch(() => {}), sleep(100)])
      await other.deployments.put('original.tiny', exampleDeployment('original.tiny', [hop('device', 0, 4)]))
    })
    await expect(storing).rejects.toMatchObject({
      code: 'conflict',
      message: '"original.tiny" is the name of a deployment; delete it before the import',
    })
    expect(await other.models.all()).toEqual([])
    expect(await other.resources.get('far')).toBeUndefined()
  })
})

describe('a machine of the original’s', () => {
  it('does not take the place of a service that registers in that moment', async () => {
    const document = { systems: { one: { tier: 'edge', name: 'far', models: { Tiny: { blocks: BLOCKS } } } } }
    await expect(storeOriginal(state, document, Date.now(), ofNobody)).resolves.toMatchObject({
      resources: ['far'],
    })
    const service = exampleResource('edge', { name: 'far' })
    const get = state.resources.get.bind(state.resources)
    state.resources.get = async (name) => {
      const known = await get(name)
      await other.resources.put(name, service)
      return known
    }
    await expect(storeOriginal(state, document, Date.now(), ofNobody)).rejects.toMatchObject({
      code: 'conflict',
    })
    expect(await other.resources.get('far')).toEqual(service)
  })
})
