/** An identity provider on this machine: its discovery document and keys over HTTP or HTTPS, and tokens that it signs. */
import { createServer, type Server } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
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
  #isAway = false

  private constructor(server: Server, keys: ProviderKey[], scheme: 'http' | 'https') {
    this.#server = server
    this.issuer = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/realms/plant`
    this.keys = keys
    server.on('request', this.#respond)
  }

  /** @param secured its certificate; absent = by HTTP. */
  static async start(secured?: Secured): Promise<IdentityProvider> {
    const server = await listening(secured)
    return new IdentityProvider(server, [await newKey('first')], secured ? 'https' : 'http')
  }

  /** It answers everybody 503 until `comeBack`. Its port stays its own: another test could take it. */
  goAway(): void {
    this.#isAway = true
  }

  comeBack(): void {
    this.#isAway = false
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

  readonly #respond = (
    { url = '' }: { url?: string | undefined },
    res: {
      writeHead: (status: number, headers: Record<string, string>) => unknown
      end: (text: string) => unknown
    },
  ): void => {
    this.asked.push(url)
    const { status, body, location } = this.#isAway ? AWAY : (this.answer?.(url) ?? this.#usual(url))
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

const AWAY = { status: 503, body: '', location: undefined }

async function listening(secured?: Secured): Promise<Server> {
  const server = secured ? https.createServer(secured) : createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return server
}
