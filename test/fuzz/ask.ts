/** Requests of the fuzzer, and what may be answered to them. */
import http from 'node:http'
import net from 'node:net'
import { NOBODY } from '../support/fixtures.ts'

/** What is asked is not built, or not now. Any other status of 500 and above is a fault. */
const ALLOWED = [501, 503]
const MOST_READ = 64 * 1024

/** A machine of the examples, which is away: 502 is the right answer to whoever has it called. */
const isAway = (status: number, said: string): boolean =>
  status === 502 && said.includes('peerUnavailable') && said.includes(NOBODY)

/** @throws Error if the status blames the service. */
export function checkStatus(status: number, said: string): void {
  if (status >= 500 && !ALLOWED.includes(status) && !isAway(status, said))
    throw new Error(`answered with ${status}: ${said.slice(0, 500)}`)
}

export interface Asked {
  method: string
  url: string
  headers: Record<string, string>
  body: Uint8Array
}

/**
 * Sends a request and reads the answer to its end; of a stream of events, its head. A connection that is closed without an answer is
 * none. @throws Error as checkStatus; if JSON is no JSON.
 */
export function ask({ method, url, headers, body }: Asked, agent?: http.Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    let request: http.ClientRequest
    try {
      const { hostname, port } = new URL(url)
      // As it is written: a URL would be put into order.
      const path = url.slice(url.indexOf('/', 'http://'.length))
      const length = method === 'GET' || method === 'HEAD' ? {} : { 'Content-Length': String(body.length) }
      request = http.request({
        hostname,
        port,
        path,
        method,
        headers: { ...headers, ...length },
        ...(agent && { agent }),
      })
    } catch {
      // Node's client does not send it.
      return resolve()
    }
    request.on('response', (response) => {
      const { statusCode = 0, headers: answered } = response
      const type = answered['content-type'] ?? ''
      if (type.startsWith('text/event-stream')) {
        request.destroy()
        return resolve()
      }
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        try {
          const said = Buffer.concat(chunks).toString()
          checkStatus(statusCode, said)
          const isJson =
            type.startsWith('application/json') && answered['inference-header-content-length'] === undefined
          if (isJson && said !== '' && !answered['content-encoding']) JSON.parse(said)
          resolve()
        } catch (thrown) {
          reject(thrown)
        }
      })
      response.on('error', () => resolve())
    })
    request.on('upgrade', (_response, socket) => socket.destroy())
    request.on('error', () => resolve())
    request.on('close', () => resolve())
    request.end(method === 'GET' || method === 'HEAD' ? undefined : body)
  })
}

/** Sends bytes as they are and no more, and reads until the service closes, or a stream begins. @throws Error as checkStatus. */
export function sendBytes(url: string, bytes: Uint8Array): Promise<void> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    let heard = ''
    const end = () => {
      socket.destroy()
      try {
        for (const [, status] of heard.matchAll(/HTTP\/1\.1 (\d{3}) /g)) checkStatus(Number(status), heard)
        resolve()
      } catch (thrown) {
        reject(thrown)
      }
    }
    socket.on('data', (chunk) => {
      if (heard.length < MOST_READ) heard += chunk.toString('latin1')
      if (/\r\ncontent-type: text\/event-stream/i.test(heard)) end()
    })
    socket.on('end', end).on('error', end)
    socket.end(bytes)
  })
}
