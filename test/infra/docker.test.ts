/** docker-compose.yml and the Dockerfile, without Docker: the image's build and every service's own command are run. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { newSystemKey } from '../../shared/platform/access/system-key.ts'
import { COMMON_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { keyFileIn } from '../../infra/start/system-key-file.ts'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { choosePorts, freePorts } from '../../infra/start/ports.ts'
import { askServer } from '../../infra/start/redis/server-facts.ts'
import { REAL_SERVER } from '../redis/persistent-server.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const Service = z.looseObject({
  command: z.array(z.string()),
  entrypoint: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  image: z.string(),
  networks: z.array(z.string()),
  ports: z.array(z.string()).optional(),
  secrets: z.array(z.string()),
})
type Service = z.infer<typeof Service>
const Compose = z.object({
  services: z.record(z.string(), Service),
  networks: z.record(z.string(), z.object({ internal: z.boolean().optional() }).nullable()),
  secrets: z.record(z.string(), z.strictObject({ file: z.string() })),
})
const composeText = readFileSync('docker-compose.yml', 'utf8')
const compose = Compose.parse(parse(composeText, { merge: true }))
const all = Object.entries(compose.services)
const own = all.filter(([name]) => name !== 'redis')
const dockerfile = readFileSync('Dockerfile', 'utf8')

function dockerWorks(...args: string[]): boolean {
  if (!findOnPath('docker')) return false
  try {
    execFileSync('docker', args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const hasCompose = dockerWorks('compose', 'version')
if (!hasCompose) console.log('skipped: no `docker compose` here to validate docker-compose.yml')
const hasEngine = dockerWorks('info')
if (!hasEngine) console.log('skipped: no Docker engine here to build the image and run it')
if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

describe('docker-compose.yml', () => {
  it.skipIf(!hasCompose)('is accepted by docker compose config', () => {
    execFileSync('docker', ['compose', 'config', '--quiet'])
  })

  it('publishes the port that each service listens on, on this computer only, and none of Redis', () => {
    for (const [, service] of own) {
      const port = service.environment?.SCISSION_PORT
      expect(service.ports).toEqual([`127.0.0.1:${port}:${port}`])
    }
    expect(compose.services.redis?.ports).toBeUndefined()
  })

  it.each(all)('%s has no rights, no root and no more than its share', (_name, service) => {
    expect(service).toMatchObject({
      init: true,
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      pids_limit: expect.any(Number),
      mem_limit: expect.stringMatching(/^\dg$/),
      tmpfs: [expect.stringMatching(/^\/tmp:/)],
    })
    for (const right of ['privileged', 'cap_add', 'devices', 'network_mode', 'pid', 'ipc', 'userns_mode'])
      expect(service).not.toHaveProperty(right)
    expect(JSON.stringify(service)).not.toContain('docker.sock')
  })

  it('has a Redis of a pinned version that never evicts, on a network of its own', () => {
    const { redis } = compose.services
    expect(redis?.command.join(' ')).toContain('--maxmemory-policy noeviction')
    expect(redis).toMatchObject({ image: expect.stringMatching(/^redis:\d+\.\d+\.\d+-/), user: '999:999' })
    expect(redis?.networks).toEqual(['redis'])
    expect(compose.networks.redis).toEqual({ internal: true })
    for (const [, service] of own) expect(service.networks).toEqual(['services', 'redis'])
  })

  it('has its secrets in files outside the repository, and in no argument and no variable', () => {
    const ignored = readFileSync('.gitignore', 'utf8').split('\n')
    for (const { file } of Object.values(compose.secrets)) expect(file).toMatch(/^\.\/secrets\//)
    expect(ignored).toContain('secrets/')
    expect(readFileSync('.dockerignore', 'utf8').split('\n')).toContain('secrets')
    for (const [, service] of own) {
      expect(service.secrets).toEqual(['redis_password', 'system_key'])
      expect(service.environment).toMatchObject({ SCISSION_SYSTEM_KEY_FILE: '/run/secrets/system_key' })
      expect(service.environment?.['REDIS_URL']).not.toContain('@')
    }
    expect(composeText).not.toMatch(/requirepass [a-z0-9]{8}/i)
  })

  /** As a container starts it, with the secrets in another folder. */
  function entrypointOf({ entrypoint = [], command }: Service, folder: string): string[] {
    const moved = (text: string) =>
      text.replaceAll('$$', '$').replaceAll(/\/run\/secrets(?=\/)|\/tmp(?=\/)/g, folder)
    return [...entrypoint.map(moved), ...command]
  }
  const folder = withFolder('secrets')
  const PASSWORD = 'from-a-file'
  const secretsFolder = () => {
    writeFileSync(path.join(folder(), 'redis_password'), `${PASSWORD}\n`)
    return folder()
  }

  it.each(own)('%s is told where Redis is with the password of the file', (_name, service) => {
    const moved = Object.entries(service.environment ?? {}).map(
      ([key, value]) => [key, value.replace('/run/secrets', secretsFolder())] as const,
    )
    writeFileSync(path.join(folder(), 'system_key'), `${newSystemKey()}\n`)
    const config = readConfig(COMMON_SETTINGS, Object.fromEntries(moved))
    expect(config.redisUrl).toBe(`redis://:${PASSWORD}@redis:6379`)
    expect(config.systemKey?.text).toMatch(/^scs_/)
  })

  it.skipIf(REAL_SERVER === undefined)('its Redis asks for the password of the file', async () => {
    const { redis } = compose.services
    if (!redis) throw new Error('there is no service redis')
    const data = mkdtempSync(path.join(folder(), 'data-'))
    const [port = 0] = await freePorts(1)
    const more = ['--port', String(port), '--bind', '127.0.0.1']
    const [command = '', ...args] = entrypointOf(redis, secretsFolder()).map((text) =>
      text === '/data' ? data : text.replace('redis-server', REAL_SERVER ?? ''),
    )
    const server = spawn(command, [...args, ...more], { stdio: 'ignore' })
    const ended = once(server, 'exit')
    try {
      await eventually(() => askServer(`redis://:${PASSWORD}@127.0.0.1:${port}`))
      await expect(askServer(`redis://127.0.0.1:${port}`)).rejects.toThrow(/NOAUTH/)
      const { processId } = await askServer(`redis://:${PASSWORD}@127.0.0.1:${port}`)
      // The first process of the container is the server itself: signals reach it.
      expect(processId).toBe(server.pid)
    } finally {
      server.kill()
      await ended
    }
  })
})

describe('the image', () => {
  let image: string
  let redis: TestRedis
  beforeAll(async () => {
    redis = await startTestRedis()
    // As the Dockerfile's build stage: `npm run build`, packages beside it.
    image = mkdtempSync(path.join(os.tmpdir(), 'scission-image-'))
    execFileSync(process.execPath, [path.resolve('infra/start/build.mjs'), path.join(image, 'dist')])
    // Without what the Dockerfile removes.
    const [, removed = ''] = /^RUN rm -r (node_modules.*)$/m.exec(dockerfile) ?? []
    const gone = removed.split(' ').map((name) => path.basename(name))
    expect(gone).toEqual(expect.arrayContaining(['esbuild', 'tsx']))
    mkdirSync(path.join(image, 'node_modules'))
    for (const name of readdirSync('node_modules').filter((name) => !gone.includes(name)))
      symlinkSync(path.resolve('node_modules', name), path.join(image, 'node_modules', name))
    symlinkSync(path.resolve('package.json'), path.join(image, 'package.json'))
  })
  afterAll(async () => {
    await redis.close()
    rmSync(image, { recursive: true, force: true })
  })

  it('is of one base of a full version, without what installs or builds, runs as another user than root and checks its health', () => {
    expect(dockerfile).toMatch(/^ARG NODE_IMAGE=node:24\.\d+\.\d+-bookworm-slim(@sha256:[0-9a-f]{64})?$/m)
    const stages = dockerfile.match(/^FROM .*$/gm) ?? []
    expect(stages.length).toBeGreaterThan(1)
    for (const stage of stages) expect(stage).toMatch(/^FROM \$\{NODE_IMAGE\}( AS \w+)?$/)
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
    expect(last).toMatch(/^RUN rm -rf .*\/npm .*\/npx .*\/corepack /m)
    expect(last).not.toMatch(/npm ci|apt-get/)
    expect(last).toMatch(/^USER node$/m)
    expect(last).toMatch(/^HEALTHCHECK /m)
  })

  it.skipIf(!hasEngine)(
    'is built, and runs without rights on a root that is read-only',
    async () => {
      const tag = 'scission-test'
      const docker = (...args: string[]) => execFileSync('docker', args, { encoding: 'utf8' }).trim()
      docker('build', '--quiet', '--tag', tag, '.')
      const rights = ['--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL']
      const limits = ['--security-opt', 'no-new-privileges', '--memory', '2g', '--pids-limit', '256']
      // It is healthy without a Redis, and listens in its container only.
      const env = ['--env', 'SCISSION_HOST=127.0.0.1', '--env', 'SCISSION_PORT=8082']
      const started = ['run', '--detach', '--rm', ...rights, ...limits, ...env, tag]
      const container = docker(...started, 'node', 'dist/services/planner/main.js')
      try {
        await eventually(() =>
          expect(docker('inspect', '--format', '{{.State.Health.Status}}', container)).toBe('healthy'),
        )
        expect(docker('exec', container, 'id', '-un')).toBe('node')
        expect(docker('exec', container, 'node', '-p', 'process.versions.node')).toMatch(/^24\./)
        expect(() => docker('exec', container, 'npm', '--version')).toThrow()
        expect(() => docker('exec', container, 'touch', '/app/x')).toThrow(/Read-only/)
      } finally {
        docker('stop', container)
      }
    },
    600_000,
  )

  it.each(own)('%s starts with its command, is healthy, and stops on SIGTERM', async (name, service) => {
    const { planner: port } = await choosePorts(0, 0)
    const [command = '', ...args] = service.command
    expect(command).toBe('node')
    const env = {
      ...process.env,
      ...service.environment,
      REDIS_URL: redis.url,
      SCISSION_REDIS_PASSWORD_FILE: '',
      SCISSION_SYSTEM_KEY_FILE: keyFileIn(image),
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
    const check = /CMD \["node", "-e", "(.*)"\]/.exec(dockerfile)?.[1] ?? ''
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
