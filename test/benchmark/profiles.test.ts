import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import { modelLock, withLock } from '../../shared/platform/redis/lock.ts'
import { structureId } from '../../shared/platform/redis/state.ts'
import { exampleModel, exampleProfile, exampleStructure, MODEL_ID } from '../support/fixtures.ts'
import { withBenchmarkService } from './harness.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const harness = withBenchmarkService()
const client = () => harness().client

beforeEach(async () => {
  await harness().state.redis.flushall()
  await harness().state.models.put(MODEL_ID, exampleModel())
  await harness().state.structures.put(
    structureId(MODEL_ID, exampleStructure().shapesKey),
    exampleStructure(),
  )
})

const send = async (body: unknown) => {
  const answer = await fetch(`${harness().url}/v1/profiles`, {
    method: 'POST',
    headers: JSON_TYPE,
    body: JSON.stringify(body),
  })
  return { status: answer.status, text: await answer.text() }
}

describe('profiles', () => {
  it('have what serving says of them beside them, and go out and in again without it', async () => {
    const profile = exampleProfile('device', [1, 2, 3, 4])
    const served = { scale: 1.25, spread: 0.1, samples: 12, updatedAt: new Date().toISOString() }
    await harness().state.profiles.put(profile.id, profile)
    await harness().state.served.put(profile.id, { id: profile.id, ...served })
    expect(await client().profile(profile.id)).toEqual({ ...profile, served })
    const exported = await (await fetch(`${harness().url}/v1/profiles?resource=device`)).json()
    expect(exported).toEqual({ items: [{ ...profile, served }] })
    expect((await send(exported)).status).toBe(201)
    expect(await harness().state.profiles.need(profile.id)).toEqual(profile)
  })

  it('are read and deleted by the ids that tables print', async () => {
    const profile = exampleProfile('device', [1, 2, 3, 4])
    await harness().state.profiles.put(profile.id, profile)
    const short = profile.id.replace(MODEL_ID, MODEL_ID.slice(0, 12))
    expect(await client().profile(short)).toEqual(profile)
    await expect(client().profile(short.replace('device', 'cloud'))).rejects.toThrow('unknown profile')
    await client().deleteProfile(short)
    expect(await harness().state.profiles.all()).toEqual([])
    await expect(client().deleteProfile(short)).rejects.toThrow('unknown profile')
  })

  it('are listed without what serving says of them where that cannot be read', async () => {
    const [device, cloud] = [exampleProfile('device', [1, 1, 1, 1]), exampleProfile('cloud', [1, 2, 3, 4])]
    for (const profile of [device, cloud]) await harness().state.profiles.put(profile.id, profile)
    await harness().state.redis.hset('scission:served', device.id, 'hello {')
    expect((await client().profiles()).map(({ resource }) => resource).sort()).toEqual(['cloud', 'device'])
    expect(await client().profile(device.id)).toEqual(device)
  })

  it('are found by model and resource, and one by its id', async () => {
    const [device, cloud] = [exampleProfile('device', [1, 1, 1, 1]), exampleProfile('cloud', [1, 2, 3, 4])]
    for (const profile of [device, cloud]) await harness().state.profiles.put(profile.id, profile)
    expect(await client().profiles()).toHaveLength(2)
    expect(await client().profiles({ model: 'chain', resource: 'cloud' })).toEqual([cloud])
    expect(await client().profile(device.id)).toEqual(device)
    await expect(client().profiles({ model: 'nosuch' })).rejects.toMatchObject({ code: 'notFound' })
    await expect(client().profile('nosuch')).rejects.toMatchObject({ code: 'notFound' })
  })

  it('that were listed can be imported again, as they are', async () => {
    for (const name of ['device', 'cloud'])
      expect((await send(exampleProfile(name, [1, 2, 3, 4]))).status).toBe(201)
    const page = await (await fetch(`${harness().url}/v1/profiles`)).json()
    await harness().state.redis.del('scission:profiles')
    expect((await send(page)).status).toBe(201)
    expect(await client().profiles()).toHaveLength(2)
  })

  it('are refused when they contradict themselves or the model, and then none of them is stored', async () => {
    const good = exampleProfile('device', [1, 2, 3, 4])
    const faults: [object, RegExp][] = [
      [{ ...good, id: 'other' }, /make the id/],
      [exampleProfile('device', [1, 2, 3]), /3 layer times, the model has 4 layers/],
      [{ ...good, layerMs: [1, 2, 3, 5] }, /sum to 11 ms, but the whole model took 10 ms/],
      [{ ...good, whole: undefined }, /whole/],
    ]
    for (const [fault, reason] of faults) {
      const { status, text } = await send({ items: [exampleProfile('cloud', [1, 2, 3, 4]), fault] })
      expect(status).toBe(400)
      expect(text).toMatch(reason)
    }
    expect(await client().profiles()).toEqual([])
  })

  it('of a model that is not here are refused', async () => {
    await harness().state.models.delete(MODEL_ID)
    expect((await send(exampleProfile('device', [1, 2, 3, 4]))).status).toBe(404)
  })

  it('of a model that is being deleted are refused', async () => {
    let sending: ReturnType<typeof send> | undefined
    await withLock(harness().state.redis, modelLock(MODEL_ID), async () => {
      sending = send(exampleProfile('device', [1, 2, 3, 4]))
      await Promise.race([sending, sleep(100)])
      await harness().state.models.delete(MODEL_ID)
    })
    expect((await sending)?.status).toBe(404)
    expect(await harness().state.profiles.all()).toEqual([])
  })
})
