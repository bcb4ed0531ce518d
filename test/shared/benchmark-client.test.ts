import { writeFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { expect, it } from 'vitest'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { withFolder } from '../support/folder.ts'
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

const folder = withFolder('benchmark-client')

it.each([[[]], [['samples.npy']]])(
  'an upload that is refused before it is read ends with the refusal, and so does its connection (samples: %j)',
  async (names) => {
    const file = path.join(folder(), 'large.onnx')
    writeFileSync(file, Buffer.alloc(50_000_000))
    const samples = names.map((name) => path.join(folder(), name))
    for (const one of samples) writeFileSync(one, 'x')
    const body = JSON.stringify({ error: { code: 'badRequest', message: 'no such name' } })
    const answer = `HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    let peer: net.Socket | undefined
    const server = net.createServer((socket) => {
      peer = socket
      socket.on('error', () => undefined)
      // Like a service that refuses: it reads no further.
      socket.once('data', () => {
        socket.pause()
        socket.write(answer)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as net.AddressInfo
    try {
      const client = createBenchmarkClient(`http://127.0.0.1:${port}`)
      await expect(client.uploadModel(file, 'a/b', { samples })).rejects.toThrow('no such name')
      const closed = new Promise((resolve) => peer?.once('close', resolve))
      peer?.resume()
      await closed
      // Without its end, the file would have come whole.
      expect(peer?.bytesRead).toBeLessThan(50_000_000)
    } finally {
      server.close()
    }
  },
)
