/** A Redis with a password, and one that speaks TLS only: all services work with it, and none ever prints the password. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { freePorts } from '../../infra/start/ports.ts'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import { until } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { startServiceProcess } from '../support/service-process.ts'
import { REAL_SERVER } from './persistent-server.ts'

const PASSWORD = 'not-to-be-printed'

function whyNoTls(): string | undefined {
  if (REAL_SERVER === undefined) return 'no valkey-server or redis-server on the PATH'
  if (findOnPath('openssl') === undefined) return 'no openssl on the PATH'
  const { stdout, stderr } = spawnSync(REAL_SERVER, ['--port', '0', '--tls-port', 'none'], {
    encoding: 'utf8',
  })
  return /Bad directive|unknown/i.test(`${stdout}${stderr}`) ? `${REAL_SERVER} has no TLS` : undefined
}
const why = { password: REAL_SERVER === undefined ? 'no real Redis' : undefined, TLS: whyNoTls() }
for (const [what, reason] of Object.entries(why))
  if (reason !== undefined) console.log(`skipped: Redis with ${what}: ${reason}`)

describe('a Redis', () => {
  const folder = withFolder('secured')

  /** Runs `work` while a server with these options runs. */
  async function withServer(options: readonly string[], work: () => Promise<void>): Promise<void> {
    const settings = ['--bind', '127.0.0.1', '--requirepass', PASSWORD, '--save', '', '--dir', folder()]
    const server = spawn(REAL_SERVER ?? '', [...settings, ...options], { stdio: 'ignore' })
    const ended = once(server, 'exit')
    try {
      await work()
    } finally {
      server.kill()
      await ended
    }
  }

  /** Starts every service. @returns what they printed until they were stopped, after `asked` was so of each. */
  async function serviceOutput(
    env: Record<string, string>,
    asked: (process: ManagedProcess) => Promise<boolean>,
  ): Promise<string> {
    const all = (['benchmark', 'planner', 'inference'] as const).map((service) =>
      startServiceProcess(service, { SCISSION_DATA: path.join(folder(), 'data'), ...env }),
    )
    const services = await Promise.all(all)
    try {
      for (const service of services) await until(() => asked(service))
    } finally {
      await Promise.all(services.map((service) => service.stop()))
    }
    const exits = await Promise.all(services.map(({ exited }) => exited))
    return exits.flatMap(({ lastLines }) => lastLines).join('\n')
  }
  const readiness = async ({ url }: ManagedProcess) => (await fetch(`${url}/readyz`)).status
  const isReady = async (service: ManagedProcess) => (await readiness(service)) === 200
  /** Still not ready when it has tried a few times to connect. */
  async function isRefused(service: ManagedProcess): Promise<boolean> {
    await sleep(500)
    return (await readiness(service)) === 503
  }

  it.skipIf(why.password !== undefined)(
    'with a password serves those who know it, and the others say so',
    async () => {
      const [port = 0] = await freePorts(1)
      await withServer(['--port', String(port)], async () => {
        const url = (password: string) => ({ REDIS_URL: `redis://:${password}@127.0.0.1:${port}` })
        const right = await serviceOutput(url(PASSWORD), isReady)
        expect(right).toContain('listening on')
        expect(right).not.toContain(PASSWORD)
        const wrong = await serviceOutput(url(`${PASSWORD}-2`), isRefused)
        expect(wrong).toMatch(/refuses the user or the password of REDIS_URL/)
        expect(wrong).not.toContain(PASSWORD)
      })
    },
  )

  it.skipIf(why.TLS !== undefined)('that speaks TLS is used if its certificate is trusted', async () => {
    const [port = 0] = await freePorts(1)
    const key = path.join(folder(), 'key.pem')
    const certificate = path.join(folder(), 'certificate.pem')
    const names = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1']
    const selfSigned = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...names]
    const made = spawnSync('openssl', [...selfSigned, '-keyout', key, '-out', certificate])
    expect(made.status, String(made.stderr)).toBe(0)
    const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate]
    const tls = ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', ...files]
    await withServer(tls, async () => {
      const env = { REDIS_URL: `rediss://default:${PASSWORD}@127.0.0.1:${port}` }
      const trusting = await serviceOutput({ ...env, NODE_EXTRA_CA_CERTS: certificate }, isReady)
      expect(trusting).not.toContain(PASSWORD)
      const others = await serviceOutput(env, isRefused)
      expect(others).toMatch(/self-signed certificate/)
      expect(others).not.toContain(PASSWORD)
    })
  })
})
