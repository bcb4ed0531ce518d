/** Doors that ask who calls: damaged tokens and headers at one, damaged handshakes at another that is encrypted. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import tls from 'node:tls'
import { makeAuthority, makeCertificate } from '../../../infra/certificates/make-certificates.ts'
import { openRedis } from '../../../infra/start/redis/open-redis.ts'
import { createPlannerService } from '../../../services/planner/app.ts'
import { Keys } from '../../../services/planner/keys/keys.ts'
import { SystemAccess } from '../../../shared/platform/access/system-access.ts'
import { newSystemKey, SystemKey } from '../../../shared/platform/access/system-key.ts'
import { formatToken, newToken } from '../../../shared/platform/access/token.ts'
import { listen } from '../../../shared/platform/http-server/listen.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import { openState } from '../../../shared/platform/redis/state.ts'
import { PLANNER_SETTINGS, readConfig } from '../../../shared/platform/service/service-config.ts'
import { checkStatus } from '../ask.ts'
import type { OpenTarget, Target } from '../target.ts'

const BOUNDS = { deadlineMs: 60_000, growthBytes: 500 * 2 ** 20 }

/** A planner with a system key and a certificate, behind a door of each kind. */
async function startSecured() {
  const log = createLog('fuzz', 'silent')
  const redis = await openRedis({ log, env: { PATH: '' } })
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-fuzz-doors-'))
  const file = (name: string, content: string) => {
    const at = path.join(folder, name)
    writeFileSync(at, content, { mode: 0o600 })
    return at
  }
  const authority = await makeAuthority('fuzz')
  const certificate = await makeCertificate(authority, 'planner', { hosts: ['127.0.0.1'], days: 1 })
  const keyText = newSystemKey()
  const config = readConfig(PLANNER_SETTINGS, {
    REDIS_URL: redis.url,
    SCISSION_SYSTEM_KEY: keyText,
    SCISSION_TLS_CERT: file('planner.pem', certificate.certificate),
    SCISSION_TLS_KEY: file('planner.key', certificate.key),
    SCISSION_TLS_CA: file('ca.pem', authority.certificate),
  })
  const service = createPlannerService(config, log)
  const app = service.app.at({ shows: 'everything', asks: true })
  const plain = await listen(app, 0, '127.0.0.1', '/', config)
  const encrypted = await listen(app, 0, '127.0.0.1', '/', config, service.tls)
  const access = new SystemAccess(config, 'planner', log)
  const state = openState(workerConnection(redis.url, log), log, access.seal)
  access.follow(state)
  return {
    plain,
    encrypted,
    ca: authority.certificate,
    keys: new Keys(state, access),
    systemKey: SystemKey.read(keyText, 'fuzz'),
    close: async () => {
      service.endStreams()
      await plain.close()
      await encrypted.close()
      await service.close()
      access.close()
      state.redis.disconnect()
      await redis.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A request that is not complete is given up then: the service would wait for the rest. */
const REST_MS = 2000

/**
 * Sends bytes, and no more.
 * @param restMs after which nothing more is said to come: a service drops a request whose client has gone.
 * @returns what was answered until the service closed.
 */
function answerTo(port: number, bytes: Uint8Array, restMs = REST_MS): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    const timer = setTimeout(() => socket.end(), restMs)
    let heard = ''
    socket.on('data', (chunk) => (heard += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(heard)
    })
    socket.write(bytes)
  })
}

const ROUTES = ['GET /v1/deployments', 'GET /v1/keys', 'POST /v1/keys', 'DELETE /v1/links/a/b']
const EXPIRES_SOON_MS = 1000

export const doors: Target = {
  name: 'doors',
  share: 4,
  sample: 150,
  ...BOUNDS,
  firstLine: true,
  open: async () => {
    const { plain, keys, systemKey, close } = await startSecured()
    const valid = [
      formatToken(systemKey.tokenOf('operator', 'system')),
      (await keys.add({ kind: 'client', name: 'camera', infer: ['net*'], read: true }, 'fuzz')).token,
    ]
    const expiresAt = new Date(Date.now() + EXPIRES_SOON_MS).toISOString()
    const revoked = await keys.add({ kind: 'operator', name: 'lost', expiresAt }, 'fuzz')
    await keys.revoke(revoked.id)
    const stranger = SystemKey.read(newSystemKey(), 'stranger')
    const none = [revoked.token, formatToken(stranger.tokenOf('operator', 'system')), formatToken(newToken())]
    const shown = [
      ...[...valid, ...none].map((token) => `Authorization: Bearer ${token}`),
      `authorization: bearer   ${valid[0]}\r\nX-Forwarded-For: 127.0.0.1`,
      `Authorization: Basic ${Buffer.from(`scission:${valid[0]}`).toString('base64')}`,
      `Authorization: Bearer ${none[0]}\r\nAuthorization: Bearer ${none[1]}`,
      'X-Nothing: shown',
    ]
    return {
      seeds: shown.flatMap((headers) => ROUTES.map((route) => Buffer.from(`${route}\n${headers}`))),
      run: async (input) => {
        const at = input.indexOf(10)
        const route = input.subarray(0, Math.max(0, at))
        const headers = input.subarray(at + 1)
        const heard = await answerTo(
          plain.port,
          Buffer.concat([
            route,
            Buffer.from(' HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n'),
            headers,
            Buffer.from('\r\n\r\n'),
          ]),
        )
        for (const [, status] of heard.matchAll(/HTTP\/1\.1 (\d{3}) /g)) checkStatus(Number(status), heard)
        const isIn = /^HTTP\/1\.1 2\d\d /.test(heard)
        if (!isIn || !ROUTES.includes(Buffer.from(route).toString())) return
        const given = Buffer.from(headers).toString('latin1')
        if (!valid.some((token) => given.includes(token))) throw new Error(`let in without a token: ${heard}`)
      },
      close,
    }
  },
}

/** The first bytes that a client of TLS sends. */
async function helloOf(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = tls.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options })
  client.on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return hello
}

export const handshakes: Target = {
  name: 'handshakes',
  share: 4,
  sample: 150,
  ...BOUNDS,
  open: async (): Promise<OpenTarget> => {
    const { encrypted, ca, close } = await startSecured()
    const answers = () =>
      new Promise<void>((resolve, reject) => {
        https
          .get(`${encrypted.url}/healthz`, { ca, agent: false }, (res) => {
            res.resume()
            if (res.statusCode === 200) resolve()
            else reject(new Error(`the encrypted door answers ${res.statusCode}`))
          })
          .on('error', reject)
      })
    return {
      seeds: [
        await helloOf({ servername: 'planner' }),
        await helloOf({ maxVersion: 'TLSv1.2', ALPNProtocols: ['h2', 'http/1.1'] }),
        Buffer.from('GET /v1/deployments HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
        // An alert, and an empty record.
        Buffer.from('15030300020228', 'hex'),
        Buffer.from('1703030000', 'hex'),
      ],
      run: async (input) => void (await answerTo(encrypted.port, input, 0)),
      close: async () => {
        try {
          await answers()
        } finally {
          await close()
        }
      },
    }
  },
}
