import { describe, expect, it } from 'vitest'
import { call, errorOf, outputsOf, postBinary, postJson, splitAnswer } from './support/service.ts'
import { singleLayerModel, toySpec } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'

const COUNT = 200_000
const photo = singleLayerModel('a', 'photo', toySpec('x', 'FP32', [COUNT]), (x) => x)

describe('a long message', () => {
  const toy = withToyService([photo])
  const at = () => `${toy.service.url}/v2/models/photo/infer`
  const values = Array.from({ length: COUNT }, (_, index) => (index % 1000) / 8)
  const input = { name: 'x', shape: [COUNT], datatype: 'FP32' }

  it('in JSON comes back as it was sent', async () => {
    const answer = await postJson(at(), { id: 'long', inputs: [{ ...input, data: values }] })
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({ id: 'long' })
    expect(outputsOf(answer.json)[0]?.data).toEqual(values)
  })

  it('may mix long JSON with binary tensors, either way', async () => {
    const tensor = new Uint8Array(Float32Array.from(values).buffer)
    const binary = { ...input, parameters: { binary_data_size: tensor.length } }
    expect(outputsOf((await postBinary(at(), { inputs: [binary] }, tensor)).json)[0]?.data).toEqual(values)
    const back = await postJson(at(), {
      inputs: [{ ...input, data: values }],
      parameters: { binary_data_output: true },
    })
    expect(splitAnswer(back).tensors).toEqual(Buffer.from(tensor))
  })

  it('that is wrong is refused like a short one', async () => {
    const wrong = await postJson(at(), { inputs: [{ ...input, data: [...values.slice(1), 'a'] }] })
    expect([wrong.status, errorOf(wrong.json)]).toEqual([
      400,
      `input 'x': element ${COUNT - 1} is "a"; FP32 takes a number`,
    ])
    const cut = JSON.stringify({ inputs: [{ ...input, data: values }] }).slice(0, -5)
    const broken = await call('POST', at(), cut)
    expect([broken.status, errorOf(broken.json)]).toEqual([400, expect.stringContaining('not JSON')])
  })
})
