/** Opens a listening socket for an app, and closes it without cutting unfinished answers. */
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import https from 'node:https'
import { type AddressInfo, isIPv6 } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ErrorCode, ScissionError } from '../errors.ts'
import type { Tls } from '../access/tls.ts'
import { SERVER_IDLE_MS } from '../idle-connections.ts'
import { ConnectionLimits } from './connection-limits.ts'
import { bodyFor, ERROR_TYPE, sendError } from './error-answers.ts'
import { DEFAULT_LIMITS, type ServerLimits } from './server-limits.ts'
import { TransferWatch } from './transfer-watch.ts'

export interface Listening {
  port: number
  /** Of this machine: a loopback address where the socket takes all. */
  url: string
  /** `0.0.0.0:8081` */
  socket: string
  close: () => Promise<void>
}

/**
 * @param port 0 = any free one.
 * @param tls absent = without encryption.
 * @param mainPath decides the form of errors about requests whose path cannot be read.
 * @param bounds of what clients may take: a service's settings. @defaultValue those of the settings
 * @throws the socket's error, e.g. EADDRINUSE.
 */
export function listen(
  app: RequestListener,
  port: number,
  host: string,
  mainPath = '/',
  bounds: ServerLimits = DEFAULT_LIMITS,
  tls?: Tls,
): Promise<Listening> {
  // A request without Host is refused below with a message; Node's own refusal has none.
  const limits = {
    keepAliveTimeout: SERVER_IDLE_MS,
    headersTimeout: 70_000,
    // Bodies are watched by transfer-watch.ts: an upload of a large model takes hours.
    requestTimeout: 0,
    requireHostHeader: false,
  }
  const take: RequestListener = (req, res) => {
    const refusal = connections.refusal(req.socket)
    const why = faultInHosts(req)
    if (refusal) sendRefusal(req, res, refusal)
    else if (why !== undefined) refuse(res, 400, req.url, why)
    else {
      transfers.watch(req, res)
      app(req, res)
    }
  }
  const server = tls ? secureServer(tls, limits, take) : http.createServer(limits, take)
  const connections = new ConnectionLimits(server, bounds)
  const transfers = new TransferWatch(bounds)
  server.on('checkExpectation', (req, res) =>
    refuse(res, 417, req.url, `"Expect: ${req.headers.expect}" is not known here; 100-continue is`),
  )
  answerUnreadable(server, mainPath)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const actual = (server.address() as AddressInfo).port
      const one = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
      const at = (address: string) => `${isIPv6(address) ? `[${address}]` : address}:${actual}`
      resolve({
        port: actual,
        url: `${tls ? 'https' : 'http'}://${at(one)}`,
        socket: at(host),
        close: () => close(server).finally(() => transfers.close()),
      })
    })
  })
}

function secureServer(tls: Tls, limits: http.ServerOptions, take: RequestListener): https.Server {
  const server = https.createServer({ ...limits, ...tls.serverOptions }, take)
  tls.follow((context) => server.setSecureContext(context))
  return server
}

/** A proxy and this server could otherwise take the same request for one to different hosts. */
function faultInHosts({ headers, httpVersion, rawHeaders }: IncomingMessage): string | undefined {
  if (headers.host === undefined)
    return httpVersion === '1.1' ? 'an HTTP/1.1 request has a Host header' : undefined
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') hosts += 1
  return hosts > 1 ? `a request has one Host header, this one has ${hosts}` : undefined
}

function sendRefusal(req: IncomingMessage, res: ServerResponse, refusal: ScissionError): void {
  res.setHeader('Connection', 'close')
  sendError(res, (req.url ?? '/').split('?', 1)[0] ?? '/', refusal)
}

/** Parser errors of Node that have a status of their own; all others are 400. */
const PARSER_ERRORS: Record<string, { status: number; code: ErrorCode; why: string }> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: 'badRequest', why: 'the headers are too large' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    code: 'payloadTooLarge',
    why: 'the chunk extensions are too large',
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'badRequest', why: 'the headers did not arrive in time' },
}

function refuse(res: ServerResponse, status: number, path = '/', why: string): void {
  const body = bodyOf(path, 'badRequest', why)
  res.writeHead(status, { 'Content-Type': ERROR_TYPE, 'Content-Length': body.length, Connection: 'close' })
  res.end(body)
}

const bodyOf = (path: string, code: ErrorCode, why: string) =>
  Buffer.from(JSON.stringify(bodyFor(path, new ScissionError(code, `this is no valid HTTP request: ${why}`))))

/** Answers bytes that are not HTTP, which reach no route, with the error body of their path. */
function answerUnreadable(server: http.Server, mainPath: string): void {
  const answering = new WeakMap<Duplex, ServerResponse>()
  server.on('request', (req, res) => answering.set(req.socket, res))
  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    const under = answering.get(socket)
    const begun = under !== undefined && under.headersSent && !under.writableFinished
    if (error.code === 'ECONNRESET' || !socket.writable || begun) return void socket.destroy()
    const { status, code, why } = PARSER_ERRORS[error.code ?? ''] ?? {
      status: 400,
      code: 'badRequest',
      why: error.message,
    }
    const line = error.rawPacket?.toString('latin1', 0, 1024) ?? ''
    const path = /^\S+ (\/[^\s?]*)/.exec(line)?.[1] ?? under?.req.url ?? mainPath
    const body = bodyOf(path, code, why)
    socket.write(
      `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Type: ${ERROR_TYPE}\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
    )
    socket.end(body)
  })
}

/** Closes idle connections at once and the others after their answer, at the latest after `graceMs`. */
function close(server: http.Server, graceMs = 5000): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearTimeout(force)
      resolve()
    })
  })
}
