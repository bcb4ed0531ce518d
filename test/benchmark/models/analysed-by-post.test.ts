/** To ask for layers by GET costs nothing: what was not analysed is analysed by POST. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { UploadedModel } from '../../../shared/contracts/model.ts'
import { JSON_TYPE } from '../../support/json-type.ts'
import { ownFile } from '../../support/test-models.ts'
import { withBenchmarkService } from '../harness.ts'

const harness = withBenchmarkService()
let model: UploadedModel
let inputShapes: Record<string, number[]>

beforeAll(async () => {
  model = await harness().client.uploadModel(ownFile('encoder-dynamic.onnx'), 'net')
  const sized = (shape: readonly (number | string)[]) =>
    shape.map((dim) => (dim === 'batch' ? 1 : typeof dim === 'string' ? 7 : dim))
  inputShapes = Object.fromEntries(model.inputs.map(({ name, shape }) => [name, sized(shape)]))
})

interface Said {
  status: number
  body: { layers?: unknown[]; error?: { code: string; message: string } }
}
const layers = async (query: string, init?: RequestInit): Promise<Said> => {
  const answer = await fetch(`${harness().url}/v1/models/net/layers${query}`, init)
  return { status: answer.status, body: (await answer.json()) as Said['body'] }
}
const analyse = (request: object) =>
  layers('', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(request) })
const stored = () => readdir(path.join(harness().dataDir, 'models', model.id))

describe.each([
  [
    'other shapes',
    () => `?shapes=${encodeURIComponent(JSON.stringify(inputShapes))}`,
    () => ({ inputShapes }),
  ],
  ['open dimensions', () => '?open=true', () => ({ open: true, inputShapes })],
])('layers with %s', (_, query, request) => {
  it('are made by POST, and only shown by GET', async () => {
    const before = await stored()
    const refused = await layers(query())
    expect([refused.status, refused.body.error?.message]).toEqual([
      409,
      expect.stringContaining('POST /v1/models/net/layers'),
    ])
    expect(await stored()).toEqual(before)
    const made = await analyse(request())
    expect([made.status, made.body.error]).toEqual([200, undefined])
    expect(await layers(query())).toEqual(made)
    expect(await analyse(request())).toEqual(made)
  })
})

it('are shown again after Redis has lost its memory', async () => {
  const before = await analyse({ inputShapes })
  const { redis } = harness().state
  await redis.del('scission:structures')
  expect(await layers(`?shapes=${encodeURIComponent(JSON.stringify(inputShapes))}`)).toEqual(before)
})
