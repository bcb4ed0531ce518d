/** The files of layer ranges, of which a model has thousands. */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { encode, model, node, value } from '../../onnx/support/build.ts'
import { withFolder } from '../../support/folder.ts'
import { withTestRedis } from '../../support/redis.ts'
import { withBenchmark } from '../../support/services.ts'

const LAYERS = 8
const names = Array.from({ length: LAYERS + 1 }, (_, at) => `t${at}`)
const chain = encode(
  model({
    nodes: names.slice(1).map((to, at) => node('Sin', [names[at] ?? ''], [to])),
    inputs: [value('t0', [1, 4])],
    outputs: [value(`t${LAYERS}`, [1, 4])],
  }),
)
/** Some of the 36 ranges of the chain, which have two files each. */
const LIMIT_BYTES = 8000

const redis = withTestRedis()
const folder = withFolder('written')
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: folder(),
  SCISSION_RANGE_FILE_BYTES: String(LIMIT_BYTES),
}))

describe('the files of layer ranges', () => {
  it('are bounded together, whatever clients ask for, and those that are gone are written again', async () => {
    const upload = await fetch(`${benchmark().url}/v1/models?name=chain`, {
      method: 'POST',
      body: Buffer.from(chain),
    })
    const { id } = (await upload.json()) as { id: string }
    const range = async (from: number, to: number) => {
      const answer = await fetch(`${benchmark().url}/v1/models/${id}/ranges/${from}-${to}`)
      return [answer.status, Buffer.from(await answer.arrayBuffer()).toString('base64')]
    }
    const first = await range(0, 1)
    expect(first[0]).toBe(200)
    const asked: Promise<unknown>[] = []
    for (let from = 0; from < LAYERS; from += 1)
      for (let to = from + 1; to <= LAYERS; to += 1) asked.push(range(from, to))
    expect(new Set((await Promise.all(asked)).map((one) => (one as unknown[])[0]))).toEqual(new Set([200]))
    const files = async () =>
      (await readdir(path.join(folder(), 'models', id))).filter((name) =>
        /\.\d+-\d+\.(json|onnx)$/.test(name),
      )
    await expect.poll(async () => (await files()).length).toBeLessThan(50)
    expect((await files()).length).toBeGreaterThan(2)
    expect(await range(0, 1)).toEqual(first)
  })
})
