/** The command line finds the system that runs: the file that npm start writes says where it is. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { findServices } from '../../infra/cli/find-services.ts'
import { claimSystem } from '../../infra/start/system-file.ts'
import { runNode, SCISSION } from '../support/command.ts'
import { withFolder } from '../support/folder.ts'
import { mkdirSync, writeFileSync } from 'node:fs'

const folder = withFolder('find-services')
const services = (base: number) => ({
  benchmark: `http://127.0.0.1:${base + 1}`,
  planner: `http://127.0.0.1:${base + 2}`,
  resources: {},
})
const redis = { kind: 'private' as const, url: 'redis://:secret@127.0.0.1:1' }

/** Claims these port bases in a root of their own. */
async function running(name: string, ...bases: number[]) {
  const root = path.join(folder(), name)
  const claims = bases.map((base) => claimSystem(root, base))
  for (const [index, claim] of claims.entries())
    await claim.running({ redis, services: services(bases[index] ?? 0) })
  return { SCISSION_DATA: root }
}

describe('the services', () => {
  it('are those of the only system that runs', async () => {
    const env = await running('one', 9300)
    expect(findServices({}, env)).toMatchObject({ ...withoutResources(9300), system: { portBase: 9300 } })
  })

  it('are those of the port base that an option or the environment names', async () => {
    const env = await running('two', 9300, 9400)
    expect(findServices({ portBase: 9400 }, env)).toMatchObject(withoutResources(9400))
    expect(findServices({}, { ...env, SCISSION_PORT_BASE: '9300' })).toMatchObject(withoutResources(9300))
    expect(findServices({ portBase: 9400 }, { ...env, SCISSION_PORT_BASE: '9300' })).toMatchObject(
      withoutResources(9400),
    )
    // One that another data folder knows.
    expect(findServices({ portBase: 9500 }, env)).toMatchObject(withoutResources(9500))
  })

  it('are not guessed if several systems run: they are listed with what to say', async () => {
    const env = await running('several', 9300, 9400)
    expect(() => findServices({}, env)).toThrow(
      /2 systems run here.*--port-base N, SCISSION_PORT_BASE=N[^]*--port-base 9300 [^]*--port-base 9400 /,
    )
  })

  it('are those whose URLs are given, each by itself', async () => {
    const env = await running('given', 9300, 9400)
    const given = { benchmarkUrl: 'http://a:1', plannerUrl: 'http://b:2' }
    expect(findServices(given, env)).toMatchObject({ benchmark: 'http://a:1', planner: 'http://b:2' })
    const one = findServices({ portBase: 9300, plannerUrl: 'http://b:2' }, env)
    expect(one).toMatchObject({ benchmark: services(9300).benchmark, planner: 'http://b:2' })
    expect(
      findServices({}, { ...env, SCISSION_BENCHMARK_URL: 'http://c:3', SCISSION_PLANNER_URL: 'http://d:4' }),
    ).toMatchObject({ benchmark: 'http://c:3', planner: 'http://d:4' })
  })

  it('are at the default ports if nothing runs, also if a crash left a file', () => {
    const root = path.join(folder(), 'stale')
    mkdirSync(path.join(root, 'systems'), { recursive: true })
    const startedAt = '2026-01-01T00:00:00.000Z'
    const stale = { portBase: 9300, processStart: 'another boot', state: 'running', startedAt, dataDir: root }
    writeFileSync(path.join(root, 'systems/9300.json'), JSON.stringify({ ...stale, pid: 2 ** 22 + 1 }))
    if (process.platform !== 'win32')
      writeFileSync(path.join(root, 'systems/9400.json'), JSON.stringify({ ...stale, pid: process.pid }))
    expect(findServices({}, { SCISSION_DATA: root })).toMatchObject(withoutResources(8080))
    expect(() => findServices({ portBase: 0 }, { SCISSION_DATA: root })).toThrow(
      /no system with --port-base 0/,
    )
  })

  it('are refused in words that name the option or variable', () => {
    expect(() => findServices({}, { SCISSION_PORT_BASE: 'x' })).toThrow(
      /SCISSION_PORT_BASE must be 0 or a port/,
    )
    expect(() => findServices({ plannerUrl: 'ftp://x' }, {})).toThrow(/--planner-url must look like http/)
  })
})

const withoutResources = (base: number) => {
  const { benchmark, planner } = services(base)
  return { benchmark, planner }
}

describe('in a shell', () => {
  it('several systems are listed, with exit code 2, as text and as JSON', async () => {
    const env = { ...process.env, NO_COLOR: '1', ...(await running('shell', 9300, 9400)) }
    const text = await runNode([SCISSION, 'resources'], { env })
    expect([text.code, text.stderr]).toEqual([
      2,
      expect.stringMatching(/--port-base 9300[^]*--port-base 9400/),
    ])
    const json = await runNode([SCISSION, '--json', 'resources'], { env })
    expect(JSON.parse(json.stderr)).toMatchObject({
      error: { code: 'badRequest', exitCode: 2, details: { portBases: [9300, 9400] } },
    })
    const one = await runNode([SCISSION, 'resources', '--port-base', '9300'], { env })
    expect([one.code, one.stderr]).toEqual([5, expect.stringContaining('127.0.0.1:9302')])
  })
})
