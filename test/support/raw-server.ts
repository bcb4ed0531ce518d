/** A server that says whatever a test wants, whether it is HTTP or not. */
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'

export interface RawServer {
  url: string
  port: number
  /** One of each connection, in the order in which they came. */
  sockets: net.Socket[]
  /** Ends all connections. */
  stop: () => Promise<void>
}

/** @param talk called for each request, numbered from 0, once its head is here. */
export async function rawServer(
  talk: (socket: net.Socket, request: number) => unknown,
  port = 0,
): Promise<RawServer> {
  const sockets: net.Socket[] = []
  let requests = 0
  const server = net.createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      if (chunk.includes('\r\n\r\n')) talk(socket, requests++)
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const actual = (server.address() as AddressInfo).port
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  return { url: `http://127.0.0.1:${actual}/path?q=1`, port: actual, sockets, stop }
}

/** The same to every request. @param end closes the connection after it. */
export const saying = (text: string, end = false) =>
  rawServer((socket) => (end ? socket.end(text, 'latin1') : socket.write(text, 'latin1')))

/** Five bytes of body. */
export const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'

/** Texts that no client may take for an answer. */
export const NOT_HTTP = [
  'SSH-2.0-OpenSSH\r\n\r\n',
  'HTTP/1.1 abc\r\n\r\n',
  'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
  `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(70_000)}`,
]

/** Answers that stop before their end, one for each way to tell the length of a body. */
export const CUT_SHORT = [
  'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome',
  'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nsome',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel',
]
