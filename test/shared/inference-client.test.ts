import { expect, it } from 'vitest'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { stubServer } from '../support/stub-server.ts'

it('refuses an answer that is longer than allowed, and says how long it may be', async () => {
  const answer = { model_name: 'm', outputs: [{ name: 'y', datatype: 'FP32', shape: [3], data: [1, 2, 3] }] }
  const server = await stubServer((_req, res) => res.end(JSON.stringify(answer)))
  try {
    const client = createInferenceClient('edge', server.url)
    const { outputs } = await client.infer('m', [], {}, { maxBytes: 1000 })
    expect(outputs.map(({ name, shape }) => [name, shape])).toEqual([['y', [3]]])
    await expect(client.infer('m', [], {}, { maxBytes: 50 })).rejects.toMatchObject({
      code: 'payloadTooLarge',
      message: expect.stringContaining('resource edge at http://127.0.0.1'),
    })
    await expect(client.infer('m', [], {}, { maxBytes: 50 })).rejects.toThrow(
      'answered with more than 50 bytes',
    )
  } finally {
    await server.close()
  }
})
