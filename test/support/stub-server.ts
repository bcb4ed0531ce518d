/** An HTTP server that stands in for a service and answers what a test wants. */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

export interface StubServer {
  server: http.Server
  url: string
  /** Cuts its connections. */
  close: () => Promise<void>
}

/** @param answer called for each request when its body is here, and not for one that is broken off. */
export async function stubServer(
  answer: (req: http.IncomingMessage, res: http.ServerResponse, body: Buffer) => unknown,
  options: http.ServerOptions = {},
): Promise<StubServer> {
  const server = http.createServer(options, (req, res) => {
    buffer(req).then(
      (body) => void answer(req, res, body),
      () => undefined,
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { server, url: `http://127.0.0.1:${port}`, close }
}
