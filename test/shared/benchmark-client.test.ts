import { expect, it } from 'vitest'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { exampleModel } from '../support/fixtures.ts'
import { stubServer } from '../support/stub-server.ts'

it('takes no samples but those that the record describes', async () => {
  const samples = {
    sha256: 'd'.repeat(64),
    bytes: 8,
    inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [2], bytes: 8 }],
    givenAt: new Date().toISOString(),
  }
  let sha256 = samples.sha256
  const server = await stubServer((_req, res) => {
    res.writeHead(200, { ETag: `"${sha256}"` }).end(Buffer.from(Float32Array.of(1, 2).buffer))
  })
  try {
    const client = createBenchmarkClient(server.url)
    const model = exampleModel({ samples })
    const [x] = await client.samples(model)
    expect([x?.name, x?.shape, [...new Uint8Array(x?.bytes ?? [])].length]).toEqual(['x', [2], 8])
    expect(await client.samples(exampleModel())).toEqual([])
    sha256 = 'e'.repeat(64)
    await expect(client.samples(model)).rejects.toMatchObject({ code: 'conflict' })
  } finally {
    await server.close()
  }
})
