/** HTTP on a plain socket: a test sends exactly the bytes that it writes and sees exactly those that came back. */
import net from 'node:net'

export interface WireAnswer {
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  body: Buffer
}

/** Text as ASCII with CRLF line ends where `↵` or a new line stands; hex in `<...>` as bytes. */
export function bytesOf(text: string): Buffer {
  const parts = text.split(/<([0-9a-f\s]*)>/)
  return Buffer.concat(
    parts.map((part, index) =>
      index % 2 === 1 ? Buffer.from(part.replace(/\s/g, ''), 'hex') : Buffer.from(part),
    ),
  )
}

/** The head of a request, its lines joined by CRLF, and its body. */
export function requestOf(lines: readonly string[], body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
}

/**
 * Sends bytes on a new connection and reads one answer.
 * @param rest is called when `request` has been written; the bytes that it resolves to are sent next.
 */
export function converse(url: string, request: Buffer, rest?: () => Promise<Buffer>): Promise<WireAnswer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname)
    let received: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const answer = answerOf(received)
      if (!answer) return
      socket.destroy()
      resolve(answer)
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`no whole answer, only: ${received.toString('latin1')}`)))
    socket.write(request, () => void rest?.().then((bytes) => socket.write(bytes), reject))
  })
}

/** @returns undefined if the answer is not complete. */
export function answerOf(received: Buffer): WireAnswer | undefined {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [first = '', ...lines] = received.toString('latin1', 0, end).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const body = received.subarray(end + 4)
  const length = Number(headers['content-length'] ?? 0)
  if (body.length < length) return undefined
  return { status: Number(first.split(' ')[1]), headers, body: body.subarray(0, length) }
}
