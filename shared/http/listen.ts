/** Opens a listening socket for an app, and closes it without cutting answers that are under way. */
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Listening {
  server: http.Server
  port: number
  url: string
  close: () => Promise<void>
}

/** @param port 0 = any free one. @throws the socket's error, e.g. EADDRINUSE. */
export function listen(app: RequestListener, port: number, host: string): Promise<Listening> {
  const server = http.createServer(
    { keepAliveTimeout: 65_000, headersTimeout: 70_000, requestTimeout: 0 },
    app,
  )
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const actual = (server.address() as AddressInfo).port
      const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
      resolve({ server, port: actual, url: `http://${shown}:${actual}`, close: () => close(server) })
    })
  })
}

/** Ends idle connections at once and the others after their answer, at the latest after `graceMs`. */
function close(server: http.Server, graceMs = 5000): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearTimeout(force)
      resolve()
    })
    server.closeIdleConnections()
  })
}
