/** docker-compose.yml and the Dockerfile, without Docker: the image's build and every service's own command are run. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { choosePorts } from '../../infra/start/ports.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const Service = z.object({
  command: z.array(z.string()),
  environment: z.record(z.string(), z.string()).optional(),
  ports: z.array(z.string()).optional(),
})
const Compose = z.object({ services: z.record(z.string(), Service) })
const compose = Compose.parse(parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }))
const own = Object.entries(compose.services).filter(([name]) => name !== 'redis')

function composeWorks(): boolean {
  if (!findOnPath('docker')) return false
  try {
    execFileSync('docker', ['compose', 'version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const hasCompose = composeWorks()
if (!hasCompose) console.log('skipped: no `docker compose` here to validate docker-compose.yml')

describe('docker-compose.yml', () => {
  it.skipIf(!hasCompose)('is accepted by docker compose config', () => {
    execFileSync('docker', ['compose', 'config', '--quiet'])
  })

  it('publishes the port that each service listens on, and uses a Redis that never evicts', () => {
    for (const [, service] of own)
      expect(service.ports).toContain(
        `${service.environment?.SCISSION_PORT}:${service.environment?.SCISSION_PORT}`,
      )
    expect(compose.services.redis?.command.join(' ')).toContain('--maxmemory-policy noeviction')
  })
})

describe('the image', () => {
  let image: string
  let redis: TestRedis
  beforeAll(async () => {
    redis = await startTestRedis()
    // The same as the Dockerfile's build stage: `npm run build`, packages beside it.
    image = mkdtempSync(path.join(os.tmpdir(), 'scission-image-'))
    execFileSync(process.execPath, [path.resolve('infra/start/build.mjs'), path.join(image, 'dist')])
    symlinkSync(path.resolve('node_modules'), path.join(image, 'node_modules'))
    symlinkSync(path.resolve('package.json'), path.join(image, 'package.json'))
  })
  afterAll(async () => {
    await redis.close()
    rmSync(image, { recursive: true, force: true })
  })

  it('runs as another user than root and checks its health', () => {
    const dockerfile = readFileSync('Dockerfile', 'utf8')
    expect(dockerfile).toMatch(/^USER node$/m)
    expect(dockerfile).toMatch(/^HEALTHCHECK /m)
    expect(dockerfile.match(/^FROM /gm)?.length).toBeGreaterThan(1)
  })

  it.each(own)('%s starts with its command, is healthy, and stops on SIGTERM', async (name, service) => {
    const { planner: port } = await choosePorts(0, 0)
    const [command = '', ...args] = service.command
    expect(command).toBe('node')
    const env = {
      ...process.env,
      ...service.environment,
      REDIS_URL: redis.url,
      SCISSION_PORT: String(port),
      SCISSION_DATA: path.join(image, `data-${name}`),
    }
    const child = spawn(process.execPath, args, { cwd: image, env, stdio: ['ignore', 'ignore', 'pipe'] })
    let errors = ''
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString()
    })
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    // The very check of the Dockerfile.
    const check = /CMD \["node", "-e", "(.*)"\]/.exec(readFileSync('Dockerfile', 'utf8'))?.[1] ?? ''
    const healthy = () => {
      try {
        execFileSync(process.execPath, ['-e', check], { env, stdio: 'ignore' })
        return true
      } catch {
        return false
      }
    }
    await expect.poll(healthy, { interval: 200 }).toBe(true)
    child.kill('SIGTERM')
    expect(await exited, errors).toBe(0)
  })
})
