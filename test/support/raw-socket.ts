/** A client that sends exactly what it is told, and reads only when it is told. */
import net from 'node:net'

export interface RawSocket {
  socket: net.Socket
  /** All that came so far. */
  heard: () => string
  /** How many bytes came so far. */
  bytes: () => number
  isClosed: () => boolean
}

const open: net.Socket[] = []

/** After each test: a server that is closed waits for its connections. */
export function closeRawSockets(): void {
  for (const socket of open.splice(0)) socket.destroy()
}

/** @param reads false: what comes stays in the system's buffers until `socket.resume()`. */
export function rawSocket(url: string, sent = '', reads = true): Promise<RawSocket> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname)
    open.push(socket)
    let heard = ''
    let bytes = 0
    let closed = false
    socket.on('data', (chunk) => {
      bytes += chunk.length
      if (heard.length < 10_000) heard += chunk.toString('latin1')
    })
    if (!reads) socket.pause()
    socket.once('error', reject).on('error', () => (closed = true))
    socket.on('close', () => (closed = true))
    socket.once('connect', () => {
      if (sent) socket.write(sent, 'latin1')
      resolve({ socket, heard: () => heard, bytes: () => bytes, isClosed: () => closed })
    })
  })
}
