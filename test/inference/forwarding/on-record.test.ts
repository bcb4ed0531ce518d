/** Which deployments count at a resource, whoever tells it of them. */
import { beforeAll, describe, expect, it } from 'vitest'
import { OnRecord, type OnRecordDeps } from '../../../services/inference/forwarding/on-record.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { trialId } from '../../../shared/platform/trial-id.ts'
import { exampleResource, exampleStructure, hop } from '../../support/fixtures.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { call, errorOf, postJson, valuesOf } from '../support/service.ts'
import { branchedModel, lineModel, X, Y } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

const [branched, line] = [branchedModel('a'), lineModel('b', [2])]
const services = withToyServices([branched, line])
const { urlOf, infer, deploy, deploymentOf, engineOf } = services
const state = () => services.state

beforeAll(async () => {
  await services.start('device')
  for (const tier of ['edge', 'cloud']) await state().resources.put(tier, exampleResource(tier))
})

const put = async (record: Deployment) => {
  const url = `${urlOf('device')}/v1/deployments/${record.id}`
  const answer = await call('PUT', url, JSON.stringify(record))
  const { error } = answer.json as { error?: { code: string; message: string } }
  return { status: answer.status, error: error?.message }
}
/** Layers of the other model, as one that wants a name would have it. */
const ofLine = (id: string, changes: Partial<Deployment> = {}) =>
  deploymentOf(id, [hop('device', 0, 3)], {
    model: line.model.id,
    shapesKey: line.structure.shapesKey,
    ...changes,
  })
/** As somebody writes it who can reach Redis. */
const write = (record: Deployment) =>
  state().redis.hset('scission:deployments', record.id, JSON.stringify(record))

describe('the name of a model', () => {
  it('goes on answering the model, told of a deployment by that name or not', async () => {
    const record = ofLine('branched')
    expect(await put(record)).toEqual({
      status: 409,
      error: expect.stringContaining('"branched" is the name of a model') as string,
    })
    await write(record)
    expect((await put(record)).status).toBe(409)
    const answer = await infer('branched')
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    const id = await put(ofLine(branched.model.id))
    expect([id.status, id.error]).toEqual([409, expect.stringContaining('is the name of a model')])
  })
})

describe('a deployment that is told', () => {
  it('and not on record is refused, and loads nothing', async () => {
    const before = engineOf('device').loaded()
    expect(await put(ofLine('invented'))).toEqual({
      status: 409,
      error: expect.stringContaining('no deployment "invented" is on record') as string,
    })
    expect((await infer('invented')).status).toBe(404)
    expect(engineOf('device').loaded()).toEqual(before)
  })

  it.each<[string, Partial<Deployment>]>([
    ['another model', { model: line.model.id, shapesKey: line.structure.shapesKey }],
    ['other hops', { hops: [hop('device', 0, 1), hop('edge', 1, 3)] }],
    ['another plan', { planId: 'another' }],
    ['another time', { createdAt: '2026-01-01T00:00:00.000Z' }],
    ['stand-ins of its own', { hops: [hop('device', 0, 3, { alternates: ['cloud'] })] }],
    ['another way of its answers', { answer: 'direct' }],
  ])('with %s than on record is refused', async (_what, changes) => {
    const record = deploymentOf('recorded', [hop('device', 0, 3)])
    await state().deployments.put(record.id, record)
    expect(await put({ ...record, ...changes })).toEqual({
      status: 409,
      error: expect.stringContaining('another deployment "recorded" is on record') as string,
    })
    expect(await put({ ...record, state: 'loading', progress: { fraction: 0, step: 'loading' } })).toEqual({
      status: 200,
    })
  })
})

describe('a deployment on record', () => {
  const back = (): Deployment => ({
    ...deploymentOf('back', [hop('device', 0, 3)]),
    hops: Array.from({ length: 50 }, (_, at) => hop(at % 2 === 0 ? 'device' : 'edge', 0, at === 49 ? 3 : 0)),
  })

  it('that goes back and forth is refused where it is told, and not there where it is read', async () => {
    expect((await put(back())).status).toBe(400)
    await write(back())
    expect((await infer('back')).status).toBe(503)
    expect((await put(back())).status).toBe(400)
    await expect(state().deployments.put('back', back())).rejects.toMatchObject({ code: 'badRequest' })
  })

  it('that moves back to an earlier tier is refused', async () => {
    const hops = [hop('device', 0, 1), hop('cloud', 1, 2), hop('edge', 2, 3)]
    await deploySoon('backwards', hops)
    const answer = await put(deploymentOf('backwards', hops, { createdAt: AT }))
    expect(answer).toEqual({
      status: 409,
      error: expect.stringContaining('edge is not on a later tier than cloud') as string,
    })
    expect((await infer('backwards')).status).toBe(409)
  })

  it('that ends before its model does is refused', async () => {
    await deploySoon('short', [hop('device', 0, 2)])
    const answer = await put(deploymentOf('short', [hop('device', 0, 2)], { createdAt: AT }))
    expect([answer.status, answer.error]).toEqual([
      409,
      expect.stringContaining('end at layer 2, its model has 3'),
    ])
  })

  const AT = '2026-01-02T00:00:00.000Z'
  const deploySoon = (id: string, hops: Deployment['hops']) =>
    state().deployments.put(id, deploymentOf(id, hops, { createdAt: AT }))
})

describe('a deployment that verifies another one', () => {
  it('counts if it is made of what is on record, under the name that follows from it', async () => {
    const subject = deploymentOf('subject', [hop('device', 0, 1), hop('edge', 1, 3)])
    await state().deployments.put(subject.id, subject)
    const trial: Deployment = {
      ...subject,
      id: trialId(subject, 'whole'),
      verifies: subject.id,
      hops: [hop('device', 0, 3)],
      fallback: 'none',
    }
    expect(await put(trial)).toEqual({ status: 200 })
    const cut = { ...trial, id: trialId(subject, 'cut-1'), hops: [hop('device', 0, 1), hop('device', 1, 3)] }
    expect(await put(cut)).toEqual({ status: 200 })
    for (const changes of [
      { id: 'branched' },
      { id: trialId({ ...subject, planId: 'another' }, 'whole') },
      { model: line.model.id, shapesKey: line.structure.shapesKey },
      { verifies: 'invented' },
      { createdAt: '2026-01-01T00:00:00.000Z' },
    ])
      expect([changes, (await put({ ...trial, ...changes })).status]).toEqual([changes, 409])
    expect(valuesOf((await infer('branched')).json)).toEqual(Y.data)
  })
})

describe('without the registry', () => {
  const record = deploymentOf('known', [hop('device', 0, 4)])
  const onRecord = (deployments: object, isInDoubt = false) =>
    new OnRecord({
      state: { deployments, memory: { isInDoubt: () => Promise.resolve(isInDoubt) } } as never,
      catalog: {
        named: () => Promise.reject(new ScissionError('notFound', 'unknown')),
        structure: () => Promise.resolve(exampleStructure()),
      },
      peers: { find: () => Promise.reject(new Error('Redis is away')) },
      log: recordedLog().log,
    } satisfies OnRecordDeps)
  const away = { find: () => Promise.reject(new Error('Connection is closed')) }
  const empty = { find: () => Promise.resolve(undefined) }

  it.each([
    ['is away', onRecord(away)],
    ['has lost its memory', onRecord(empty, true)],
  ])('that %s, what is known here stays, and what is new waits', async (_why, checks) => {
    expect(await checks.confirmed(record, () => true)).toBe(record)
    await expect(checks.confirmed(record, () => false)).rejects.toMatchObject({ code: 'queueUnavailable' })
  })

  it('it is seen whether a deployment fits its model, as far as machines are known', async () => {
    const checks = onRecord(empty)
    await checks.refuseMisfit(record)
    const short = { ...record, hops: [hop('device', 0, 3)] }
    await expect(checks.refuseMisfit(short)).rejects.toMatchObject({ code: 'conflict' })
  })
})

it('a deployment loads at its first request after a restart, from its record', async () => {
  const record = deploymentOf('again', [hop('device', 0, 3)])
  await deploy(record)
  await services.stop('device')
  await services.start('device')
  const answer = await postJson(`${urlOf('device')}/v2/models/again/infer`, { inputs: [X] })
  expect([answer.status, errorOf(answer.json), valuesOf(answer.json)]).toEqual([200, undefined, Y.data])
})
