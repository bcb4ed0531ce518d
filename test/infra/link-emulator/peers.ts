/** The two ends of an emulated link, for measuring and for being awkward. */
import { once } from 'node:events'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'

export interface Peer {
  port: number
  /** Bytes received, per connection in the order of arrival. */
  received: number[]
  sockets: Socket[]
  close: () => void
}

/**
 * A server that echoes what it gets; or swallows it and, at the end, tells how much it was; or sends as many
 * bytes as the line after its first byte says; or resets the connection.
 */
export async function startPeer(): Promise<Peer> {
  const received: number[] = []
  const sockets: Socket[] = []
  const server: Server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const index = received.push(0) - 1
    sockets.push(socket)
    let behaviour: string | undefined
    socket.on('error', () => undefined)
    socket.on('data', (data: Buffer) => {
      received[index] = (received[index] ?? 0) + data.length
      const first = behaviour === undefined
      behaviour ??= String.fromCharCode(data[0] ?? 0)
      if (behaviour === 'e') socket.write(data)
      if (behaviour === 'd' && first) socket.end(Buffer.alloc(Number(data.subarray(1).toString())))
      if (behaviour === 'r') socket.resetAndDestroy()
    })
    socket.on('end', () => {
      if (behaviour === 's') socket.end(String(received[index]))
      else if (behaviour !== 'd') socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    received,
    sockets,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

export async function connect(port: number): Promise<Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  // Resets are part of the tests; whoever waits for data hears of them all the same.
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Everything until the other side's end. @throws the socket's error. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** The first data from the other end. @throws the error of the connection. */
export async function firstWords(port: number): Promise<string> {
  const socket = await connect(port)
  socket.write('e')
  const [data] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return data.toString()
}

/**
 * Round trip of one byte on an open connection: the shortest, because on a busy machine many are late by what the
 * machine does, and none may be early.
 */
export async function roundTripMs(port: number, rounds = 20): Promise<number> {
  const socket = await connect(port)
  const times: number[] = []
  // The first one also pays for the connection.
  for (let round = 0; round <= rounds; round += 1) {
    const start = performance.now()
    socket.write('e')
    await once(socket, 'data')
    if (round > 0) times.push(performance.now() - start)
  }
  socket.destroy()
  return Math.min(...times)
}

/**
 * Sends `bytes` and waits until the other end says it has them: payload rate in 10^6 bit/s, the round trips
 * taken off. Timed from before the connection, as the link counts from when it accepts it, which may be a while
 * before this side hears of it.
 */
export async function uploadMbps(port: number, bytes: number, rttMs: number): Promise<number> {
  const start = performance.now()
  const socket = await connect(port)
  socket.write('s')
  socket.end(Buffer.alloc(bytes))
  const told = await readAll(socket)
  const elapsedMs = performance.now() - start - 2 * rttMs
  if (Number(told.toString()) !== bytes + 1)
    throw new Error(`sent ${bytes + 1} bytes, ${told.toString()} arrived`)
  return (bytes * 8) / 1000 / elapsedMs
}

export async function downloadMbps(port: number, bytes: number, rttMs: number): Promise<number> {
  const start = performance.now()
  const socket = await connect(port)
  socket.end(`d${bytes}`)
  const got = await readAll(socket)
  const elapsedMs = performance.now() - start - 2 * rttMs
  if (got.length !== bytes) throw new Error(`asked for ${bytes} bytes, got ${got.length}`)
  return (bytes * 8) / 1000 / elapsedMs
}
