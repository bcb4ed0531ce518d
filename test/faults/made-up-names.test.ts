/** Names that clients make up are kept nowhere for good: what operators read stays as long as it was. */
import { expect, it } from 'vitest'
import { call, postJson } from '../inference/support/service.ts'
import { branchedModel } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'

const toy = withToyService([branchedModel('a')])

it('1500 refused requests with names of their own leave the metrics of a machine short', async () => {
  const { url } = toy.service
  const size = async (path: string) => (await call('GET', `${url}${path}`)).body.length
  await postJson(`${url}/v2/models/first/infer`, { inputs: [] })
  const before = [await size('/metrics'), await size('/v2/models/stats')]
  const names = Array.from({ length: 1500 }, (_, at) => `made-up-${at}`)
  for (let from = 0; from < names.length; from += 50)
    for (const { status } of await Promise.all(
      names.slice(from, from + 50).map((name) => postJson(`${url}/v2/models/${name}/infer`, { inputs: [] })),
    ))
      expect(status).toBe(404)
  const after = [await size('/metrics'), await size('/v2/models/stats')]
  for (const [at, bytes] of after.entries()) expect(bytes).toBeLessThan((before[at] ?? 0) + 200_000)
  expect((await call('GET', `${url}/metrics`)).body.toString()).not.toContain('made-up-1499')
}, 240_000)
