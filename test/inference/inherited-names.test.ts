import { describe, expect, it } from 'vitest'
import { singleLayerModel, toySpec } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'
import { postJson, call } from './support/service.ts'

/** Names that every object seems to have. */
const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
const toy = withToyService(
  NAMES.map((name, at) => singleLayerModel(String(at), `m${at}`, toySpec(name, 'FP32', [1]), (x) => x)),
)
describe('a tensor', () => {
  it.each(NAMES)('may be called %s', async (name) => {
    const input = `{"inputs":[{"name":${JSON.stringify(name)},"shape":[1],"datatype":"FP32","data":[3]}]}`
    const url = `${toy.service.url}/v2/models/m${NAMES.indexOf(name)}`
    const answer = await call('POST', `${url}/infer`, input)
    expect([answer.status, answer.json]).toMatchObject([200, { outputs: [{ name: 'y', data: [3] }] }])
    expect((await call('GET', url)).json).toMatchObject({ inputs: [{ name }] })
  })

  it('has any timeout', async () => {
    for (const timeout of [2 ** 31 * 1000, Number.MAX_SAFE_INTEGER]) {
      const input = {
        inputs: [{ name: 'constructor', shape: [1], datatype: 'FP32', data: [3] }],
        parameters: { timeout },
      }
      expect((await postJson(`${toy.service.url}/v2/models/m1/infer`, input)).status).toBe(200)
    }
  })
})
