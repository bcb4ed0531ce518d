/** What clients send that the protocol's text does not promise: null for what is absent, parameters of other servers, scalars. */
import { describe, expect, it } from 'vitest'
import { branchedModel, singleLayerModel, toySpec, X, Y } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'
import { call, outputsOf, parametersOf, postBinary, postJson, splitAnswer } from './support/service.ts'

const same = (name: string, id: string, shape: number[]) =>
  singleLayerModel(id, name, toySpec('x', 'FP32', shape), (x) => x)
const toy = withToyService([
  branchedModel('a'),
  same('scalar', 'b', []),
  same('one', 'c', [1]),
  same('deep', 'd', [1, 1]),
])
const at = (model: string) => `${toy.service.url}/v2/models/${model}/infer`

describe('a request with null for what it leaves out', () => {
  it('is one without these fields', async () => {
    const answer = await postJson(at('branched'), {
      id: null,
      parameters: null,
      outputs: null,
      inputs: [{ ...X, parameters: null }],
    })
    expect([answer.status, answer.body.toString()]).toEqual([200, expect.not.stringContaining('"id"')])
    expect(outputsOf(answer.json)).toEqual([Y])
  })

  it('also within its parameters and those of its tensors, and beside binary data', async () => {
    const absent = { priority: null, timeout: null, binary_data_output: null }
    const outputs = [{ name: 'y', parameters: { binary_data: null, classification: null } }]
    const parameters = { binary_data_size: null, shared_memory_region: null }
    const answer = await postJson(at('branched'), {
      parameters: absent,
      inputs: [{ ...X, parameters }],
      outputs,
    })
    expect(outputsOf(answer.json)).toEqual([Y])
    const bytes = new Uint8Array(Float32Array.from(X.data).buffer)
    const inputs = [{ ...X, data: null, parameters: { binary_data_size: 8 } }]
    expect(outputsOf((await postBinary(at('branched'), { inputs }, bytes)).json)).toEqual([Y])
  })

  it('of the model repository too', async () => {
    const base = `${toy.service.url}/v2/repository`
    expect((await call('POST', `${base}/index`, '{"ready":null}')).status).toBe(200)
    expect((await call('POST', `${base}/models/branched/load`, '{"parameters":null}')).status).toBe(200)
  })
})

describe('parameters that nobody here knows', () => {
  it.each([{ deep: { er: [1, { a: null }] } }, [1, 'a', null], null, 1.5, 'text', true, 1e300])(
    'are passed over, whatever their form: %j',
    async (value) => {
      const answer = await postJson(at('branched'), {
        parameters: { 'some.server/x': value },
        inputs: [{ ...X, parameters: { content_type: value } }],
        outputs: [{ name: 'y', parameters: { label: value } }],
      })
      expect([answer.status, outputsOf(answer.json)]).toEqual([200, [Y]])
      expect(Object.keys(parametersOf(answer.json)).every((key) => key.startsWith('scission_'))).toBe(true)
    },
  )
})

describe('one element', () => {
  const input = (shape: number[]) => ({ name: 'x', shape, datatype: 'FP32', data: [7] })

  it.each([
    ['scalar', [1], []],
    ['scalar', [1, 1], []],
    ['scalar', [], []],
    ['one', [], [1]],
    ['deep', [], [1, 1]],
  ])('for %s may have shape %j', async (model, shape, made) => {
    const answer = await postJson(at(model), { inputs: [input(shape)] })
    expect(outputsOf(answer.json)).toEqual([{ name: 'y', shape: made, datatype: 'FP32', data: [7] }])
    const inputs = [{ name: 'x', shape, datatype: 'FP32', parameters: { binary_data_size: 4 } }]
    const bytes = new Uint8Array(Float32Array.of(7).buffer)
    const parameters = { binary_data_output: true }
    const { json, tensors } = splitAnswer(await postBinary(at(model), { parameters, inputs }, bytes))
    expect([outputsOf(json)[0], tensors.readFloatLE(0)]).toEqual([
      expect.objectContaining({ shape: made }),
      7,
    ])
  })

  it.each([
    ['one', [1, 1]],
    ['deep', [1]],
    ['scalar', [2]],
  ])('for %s may not have shape %j: both have axes, or it is not one', async (model, shape) => {
    const data = Array.from({ length: shape.reduce((count, dim) => count * dim, 1) }, () => 7)
    const answer = await postJson(at(model), { inputs: [{ ...input(shape), data }] })
    expect([answer.status, answer.body.toString()]).toEqual([
      400,
      expect.stringContaining(`has shape [${shape.join()}], expected [`),
    ])
  })
})
