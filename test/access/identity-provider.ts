/** An identity provider on this machine: its discovery document and keys over HTTP or HTTPS, and tokens that it signs. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose'

export const AUDIENCE = 'scission'

export interface ProviderKey {
  kid: string
  alg: string
  privateKey: CryptoKey
  publicKey: CryptoKey
  jwk: JWK
}

export async function newKey(kid: string, alg = 'ES256'): Promise<ProviderKey> {
  const pair = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, ...pair, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' } }
}

export const nowSeconds = (): number => Math.floor(Date.now() / 1000)

/** What makes a token another one than the provider's usual. A claim or header field that is undefined is left out. */
export interface TokenOptions {
  claims?: Record<string, unknown>
  header?: Record<string, unknown>
  key?: ProviderKey
}

/**
 * How it is away: it answers 503; it closes each connection as it is made; it takes requests and says nothing; it stops in the
 * middle of its head, or of its body; or it sends its body so slowly that it never ends.
 */
export type Away = 'unavailable' | 'resetting' | 'silent' | 'half a head' | 'half a body' | 'dripping'

interface Secured {
  cert: string
  key: string
}

export class IdentityProvider {
  readonly issuer: string
  /** Requests to it, by path. */
  readonly asked: string[] = []
  keys: ProviderKey[]
  /** In place of its answers. */
  answer: ((path: string) => { status: number; body: string; location?: string } | undefined) | undefined
  readonly #server: Server
  #away: Away | undefined

  private constructor(server: Server, keys: ProviderKey[], scheme: 'http' | 'https') {
    this.#server = server
    this.issuer = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/realms/plant`
    this.keys = keys
    server.on('request', this.#respond)
    server.on('connection', (socket: Socket) => {
      if (this.#away === 'resetting') socket.destroy()
    })
  }

  /** @param secured its certificate; absent = by HTTP. */
  static async start(secured?: Secured): Promise<IdentityProvider> {
    const server = await listening(secured)
    return new IdentityProvider(server, [await newKey('first')], secured ? 'https' : 'http')
  }

  /** Until `comeBack`. Its port stays its own: another test could take it. */
  goAway(how: Away = 'unavailable'): void {
    this.#away = how
    if (how === 'resetting') this.#server.closeAllConnections()
  }

  comeBack(): void {
    this.#away = undefined
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  get jwks(): string {
    return JSON.stringify({ keys: this.keys.map(({ jwk }) => jwk) })
  }

  get jwksUrl(): string {
    return `${this.issuer}/certs`
  }

  /** A token of somebody who may do what `roles` say, for five minutes. */
  async token(
    roles: readonly string[],
    { claims, header, key = this.keys[0] }: TokenOptions = {},
  ): Promise<string> {
    if (!key) throw new Error('the provider has no key')
    const now = nowSeconds()
    const all = {
      iss: this.issuer,
      aud: AUDIENCE,
      sub: 'f3a1',
      preferred_username: 'alice',
      iat: now,
      exp: now + 300,
      roles,
      ...claims,
    }
    const heads = { alg: key.alg, kid: key.kid, typ: 'JWT', ...header } as JWTHeaderParameters
    return new SignJWT(JSON.parse(JSON.stringify(all)) as Record<string, unknown>)
      .setProtectedHeader(JSON.parse(JSON.stringify(heads)) as JWTHeaderParameters)
      .sign(key.privateKey)
  }

  readonly #respond = ({ url = '' }: IncomingMessage, res: ServerResponse): void => {
    this.asked.push(url)
    const usual = this.answer?.(url) ?? this.#usual(url)
    if (this.#away !== undefined && this.#away !== 'unavailable')
      return neverAnswer(res, this.#away, usual.body)
    const { status, body, location } = this.#away ? AWAY : usual
    res.writeHead(status, { 'Content-Type': 'application/json', ...(location && { Location: location }) })
    res.end(body)
  }

  #usual(url: string): { status: number; body: string; location?: string } {
    const path = url.replace('/realms/plant', '')
    if (path === '/certs') return { status: 200, body: this.jwks }
    if (path === '/.well-known/openid-configuration')
      return { status: 200, body: JSON.stringify({ issuer: this.issuer, jwks_uri: this.jwksUrl }) }
    return { status: 404, body: '{}' }
  }
}

function neverAnswer(res: ServerResponse, away: Away, body: string): void {
  if (away === 'half a head') res.socket?.write('HTTP/1.1 200 OK\r\nContent-Le')
  if (away === 'half a body') {
    res.writeHead(200, { 'Content-Length': body.length })
    res.write(body.slice(0, body.length / 2))
  }
  if (away !== 'dripping') return
  res.writeHead(200)
  const dripping = setInterval(() => res.write(' '), 20)
  res.on('close', () => clearInterval(dripping))
}

const AWAY = { status: 503, body: '', location: undefined }

async function listening(secured?: Secured): Promise<Server> {
  const server = secured ? https.createServer(secured) : createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return server
}
