/**
 * The first requests of a process, to a peer that ends their connection before undici's parser is compiled. That takes as long as
 * this file wants, so that it happens each time: nothing may import undici before.
 */
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { HELLO } from '../../support/raw-server.ts'

it('fail when their connection ends, and later ones get their answers', async () => {
  let isParserHeld = false
  let isResetting = true
  const firstEnded = new Promise((resolve) => {
    subscribe('net.client.socket', (message) => (message as { socket: Socket }).socket.once('close', resolve))
  })
  const assembly = Reflect.get(globalThis, 'WebAssembly') as {
    compile: (code: Uint8Array) => Promise<unknown>
  }
  const { compile } = assembly
  assembly.compile = async (code) => {
    isParserHeld = true
    await firstEnded
    return compile(code)
  }
  const { HttpClient } = await import('../../../shared/platform/http-client.ts')
  expect(isParserHeld).toBe(true)

  const server = net.createServer((socket) => {
    if (isResetting) socket.destroy()
    else socket.on('data', () => socket.write(HELLO))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const client = new HttpClient({ timeoutMs: 10 * PATIENCE_MS, connections: 1 })
  try {
    const settled = Promise.allSettled([client.get(url), client.get(url)])
    expect(await waitAtMost(settled, PATIENCE_MS, 'not settled')).toMatchObject([
      { status: 'rejected', reason: { message: 'it closed the connection' } },
      { status: 'rejected', reason: { message: 'it closed the connection' } },
    ])
    isResetting = false
    expect(await waitAtMost(client.get(url), PATIENCE_MS, 'no answer')).toMatchObject({ status: 200 })
  } finally {
    client.close()
    server.close()
  }
})
