/** Models that an import makes count for who imported them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { JSON_TYPE } from '../support/json-type.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { type SecuredServices, send, startSecuredServices } from './services.ts'

const BLOCKS = [[0, 1, 0.25, 70_000]]
/** The original's measurements of networks on one machine. */
const measured = (...networks: string[]) =>
  JSON.stringify({
    systems: {
      one: {
        tier: 'edge',
        name: 'far',
        models: Object.fromEntries(networks.map((one) => [one, { blocks: BLOCKS }])),
      },
    },
  })

describe.each(TEST_SERVERS)('an import with $name', ({ open, skip }) => {
  let system: SecuredServices
  beforeAll(async () => {
    if (skip) return
    system = await startSecuredServices({}, open)
    await eventually(async () => {
      for (const service of ['benchmark', 'planner'])
        expect((await send('GET', `${system.urlOf(service, 'everything')}/readyz`)).status).toBe(200)
    })
  })
  afterAll(() => system?.close())

  const add = (name: string, models: number | null) =>
    system.keys.add({ kind: 'operator', name, quotas: { models } }, 'test')
  async function take(token: string, document: string) {
    const answer = await fetch(`${system.urlOf('benchmark', 'everything')}/v1/profiles`, {
      method: 'POST',
      headers: { ...JSON_TYPE, Authorization: `Bearer ${token}` },
      body: document,
    })
    return { status: answer.status, text: await answer.text() }
  }
  const ownersOf = async () =>
    new Map((await system.state.models.all()).map(({ name, owner }) => [name, owner]))
  const usedBy = async (token: string) =>
    JSON.parse((await send('GET', `${system.urlOf('planner', 'everything')}/v1/quotas`, token)).text) as {
      used: { models: number }
    }

  it.skipIf(skip)(
    'counts its models for who imported, who is refused beyond the quota before anything is stored',
    async () => {
      const [ann, bob] = [await add('ann', 2), await add('bob', null)]
      expect(await take(ann.token, measured('One', 'Two'))).toMatchObject({ status: 201 })
      expect(await usedBy(ann.token)).toMatchObject({ used: { models: 2 } })
      const refused = await take(ann.token, measured('One', 'Three'))
      expect(refused).toMatchObject({
        status: 429,
        text: expect.stringContaining('may have 2 models and has 2') as unknown,
      })
      // What is there already takes nothing more, and stays whose it was.
      expect(await take(ann.token, measured('One', 'Two'))).toMatchObject({ status: 201 })
      expect(await take(bob.token, measured('Two', 'Three'))).toMatchObject({ status: 201 })
      expect(await ownersOf()).toEqual(
        new Map([
          ['original.one', ann.id],
          ['original.two', ann.id],
          ['original.three', bob.id],
        ]),
      )
    },
  )

  it.skipIf(skip)('of several at once stores as many as fit', async () => {
    const { token } = await add('eve', 1)
    const answers = await Promise.all(['A', 'B', 'C'].map((network) => take(token, measured(network))))
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 429, 429])
    expect(await usedBy(token)).toMatchObject({ used: { models: 1 } })
  })
})
