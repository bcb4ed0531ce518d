/** Inputs that no layer reads, such as the segment ids of BERT exports: clients send them, as the model declares them. */
import { beforeAll, describe, expect, it } from 'vitest'
import { hop } from '../support/fixtures.ts'
import { errorOf, outputsOf, postJson } from './support/service.ts'
import { layer, toyModel, toySpec } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'

const read = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
const unread = { name: 'segments', shape: [1, 3], datatype: 'INT64', data: [0, 0, 1] }
const y = { name: 'y', shape: [2], datatype: 'FP32', data: [3, 5] }

const toy = toyModel(
  'a',
  [toySpec('x', 'FP32', [2]), toySpec('segments', 'INT64', [1, 3])],
  ['y'],
  [layer('a', ['x'], [2], (x) => 2 * x), layer('y', ['a'], [2], (a) => a + 1)],
  { name: 'unread' },
)
const services = withToyServices([toy])

beforeAll(async () => {
  await services.start('device')
  await services.start('edge')
  await services.deploy(services.deploymentOf('split', [hop('device', 0, 1), hop('edge', 1, 2)]))
})

describe('an input that nothing reads', () => {
  it.each(['unread', 'unread:0-2', 'split'])('is ignored by %s', async (name) => {
    const at = `${services.urlOf('device')}/v2/models/${name}/infer`
    const answer = await postJson(at, { inputs: [read, unread] })
    expect([answer.status, outputsOf(answer.json)]).toEqual([200, [y]])
    expect(outputsOf((await postJson(at, { inputs: [read] })).json)).toEqual([y])
  })

  it.each(['unread', 'unread:0-2', 'split'])('must be as it is declared for %s', async (name) => {
    const at = `${services.urlOf('device')}/v2/models/${name}/infer`
    const wrong = { ...unread, shape: [3] }
    const answer = await postJson(at, { inputs: [read, wrong] })
    expect([answer.status, errorOf(answer.json)]).toEqual([
      400,
      expect.stringContaining('input tensor "segments" has shape [3], expected [1,3]'),
    ])
  })
})
