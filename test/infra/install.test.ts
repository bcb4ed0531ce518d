/** infra/start/install.mjs and what it imports, in a folder of its own with a stand-in for npm; at the end with npm itself. */
import { spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { killGroup } from '../support/kill.ts'

/**
 * Does with node_modules what npm does: `ci` empties it, packages get folders, and the list of what is installed comes
 * last. Notes its arguments when it begins and `end` when it has ended.
 */
const FAKE_NPM = `
const fs = require('node:fs')
const [command, ...options] = process.argv.slice(2)
fs.appendFileSync('npm-calls', [command, ...options].join(' ') + '\\n')
fs.writeFileSync('npm-loglevel', process.env.npm_config_loglevel ?? '')
const { packages } = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'))
if (command === 'ci') fs.rmSync('node_modules', { recursive: true, force: true })
for (const [name, { dev, version }] of Object.entries(packages)) {
  if (name === '' || (dev && options.includes('--omit=dev'))) { delete packages[name]; continue }
  fs.mkdirSync(name, { recursive: true })
  fs.writeFileSync(name + '/package.json', JSON.stringify({ version }))
}
setTimeout(() => {
  fs.appendFileSync('npm-calls', 'end\\n')
  const code = Number(process.env.FAKE_NPM_CODE)
  if (code) process.exit(code)
  fs.mkdirSync('node_modules', { recursive: true })
  fs.writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages }))
}, Number(process.env.FAKE_NPM_MS))
`
const RUNTIME = { 'node_modules/runs': { version: '1.0.0' } }
const DEV = { 'node_modules/tests': { version: '1.0.0', dev: true } }
const NEWER_DEV = { 'node_modules/tests': { version: '2.0.0', dev: true } }
const OTHER_PLATFORM = { 'node_modules/runs-elsewhere': { version: '1.0.0', optional: true } }

const CI_RUNTIME = 'ci --omit=dev --no-audit --no-fund'
const CI_ALL = 'ci --include=dev --no-audit --no-fund'
const ADD_DEV = 'install --no-save --include=dev --no-audit --no-fund'

let checkout: string
beforeEach(() => {
  checkout = mkdtempSync(path.join(os.tmpdir(), 'scission-install-'))
  mkdirSync(path.join(checkout, 'infra/start'), { recursive: true })
  for (const file of ['install.mjs', 'packages.mjs', 'install-lock.mjs', 'waiting.mjs'])
    cpSync(path.join('infra/start', file), path.join(checkout, 'infra/start', file))
  writeFileSync(path.join(checkout, 'npm-cli.js'), FAKE_NPM)
  lock({ ...RUNTIME, ...DEV })
})
afterEach(() => rmSync(checkout, { recursive: true, force: true }))

function lock(packages: Record<string, { version: string }>): void {
  writeFileSync(
    path.join(checkout, 'package-lock.json'),
    JSON.stringify({ packages: { '': {}, ...packages } }),
  )
}

const START = ['infra/start/install.mjs']
const TEST = ['infra/start/install.mjs', '--dev']
const settings = (env: NodeJS.ProcessEnv = {}) => ({
  cwd: checkout,
  env: { ...process.env, npm_execpath: path.join(checkout, 'npm-cli.js'), FAKE_NPM_MS: '0', ...env },
})

function run(args: string[], env?: NodeJS.ProcessEnv) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { ...settings(env), encoding: 'utf8' })
  return { status, stdout, stderr }
}

/** Lines of the stand-in since they were last asked for. */
function calls(): string[] {
  const file = path.join(checkout, 'npm-calls')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
  rmSync(file, { force: true })
  return lines.filter((line) => line !== 'end')
}
const has = (file: string) => existsSync(path.join(checkout, file))

describe('npm start', () => {
  it('installs what it runs in a fresh clone, says so in one line, and not again', () => {
    const first = run(START)
    expect(first).toMatchObject({ status: 0, stdout: '' })
    expect(first.stderr.trim().split('\n')).toEqual(['installing packages (none yet): npm ci --omit=dev'])
    expect(calls()).toEqual([CI_RUNTIME])
    expect(has('node_modules/tests')).toBe(false)
    expect(run(START)).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(calls()).toEqual([])
    expect(has('.installing')).toBe(false)
  })

  it('has npm print errors only, or what its user has asked for', () => {
    const loglevel = () => readFileSync(path.join(checkout, 'npm-loglevel'), 'utf8')
    run(START, { npm_config_loglevel: undefined })
    expect(loglevel()).toBe('error')
    run(TEST, { npm_config_loglevel: 'warn' })
    expect(loglevel()).toBe('warn')
  })

  it('leaves the packages of tests where they are', () => {
    run(TEST)
    expect(calls()).toEqual([CI_ALL])
    expect(run(START)).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(has('node_modules/tests')).toBe(true)
  })
})

describe('npm test', () => {
  it('adds what it needs beyond, and touches nothing else', () => {
    run(START)
    calls()
    writeFileSync(path.join(checkout, 'node_modules/runs/in-use'), '')
    expect(run(TEST).stderr).toMatch(/those of tests and checks/)
    expect(calls()).toEqual([ADD_DEV])
    expect(has('node_modules/tests')).toBe(true)
    expect(has('node_modules/runs/in-use')).toBe(true)
    expect(run(TEST)).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  it('asks for packages that the environment says to leave out', () => {
    run(TEST, { NODE_ENV: 'production' })
    expect(calls()).toEqual([CI_ALL])
  })
})

describe('the lockfile', () => {
  it.each([
    ['a package has another version', { 'node_modules/runs': { version: '2.0.0' }, ...DEV }, /runs is not/],
    ['a package is new', { ...RUNTIME, ...DEV, 'node_modules/new': { version: '1.0.0' } }, /new is not/],
    ['a package has left', DEV, /runs is not/],
  ])('is followed where %s, with the packages of tests if they were there', (_, packages, said) => {
    for (const [args, npm] of [
      [START, CI_RUNTIME],
      [TEST, CI_ALL],
    ] as const) {
      lock({ ...RUNTIME, ...DEV })
      rmSync(path.join(checkout, 'node_modules'), { recursive: true, force: true })
      run(args)
      calls()
      lock(packages)
      expect(run(START).stderr).toMatch(said)
      expect(calls()).toEqual([npm])
      expect(run(args).stderr).toBe('')
    }
  })

  it('may name packages of other platforms, and change those of tests while they are not installed', () => {
    lock({ ...RUNTIME, ...DEV })
    run(START)
    lock({ ...RUNTIME, ...OTHER_PLATFORM, ...NEWER_DEV })
    expect(run(START).stderr).toBe('')
  })

  it('is asked for when it is missing', () => {
    rmSync(path.join(checkout, 'package-lock.json'))
    const { status, stderr } = run(START)
    expect(status).toBe(1)
    expect(stderr).toMatch(/package-lock\.json is missing/)
  })
})

describe('an install that did not complete', () => {
  it('is noticed where npm failed, whose code is the exit code', () => {
    expect(run(START, { FAKE_NPM_CODE: '7' }).status).toBe(7)
    expect(run(START)).toMatchObject({ status: 0, stdout: '' })
    expect(run(START).stderr).toBe('')
  })

  it('does not keep what was there from running: a failed upgrade leaves npm start as it was', () => {
    run(START)
    expect(run(TEST, { FAKE_NPM_CODE: '7' }).status).toBe(7)
    expect(run(START)).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  it.each([
    { killed: 'the first', args: START },
    { killed: 'an upgrade', args: TEST },
  ])('is noticed where $killed was killed', async ({ args }) => {
    if (args === TEST) run(START)
    calls()
    const child = spawn(process.execPath, args, { ...settings({ FAKE_NPM_MS: '60000' }), detached: true })
    await expect.poll(() => has('npm-calls')).toBe(true)
    const ended = new Promise((resolve) => child.once('close', resolve))
    killGroup(child)
    await ended
    expect(run(START).stderr).toMatch(/the last install was broken off/)
    expect(calls().at(-1)).toBe(CI_RUNTIME)
    expect(run(START).stderr).toBe('')
  })

  it('is noticed where a package has been deleted since', () => {
    run(START)
    rmSync(path.join(checkout, 'node_modules/runs'), { recursive: true })
    expect(run(START).stderr).toMatch(/runs is not there/)
    expect(has('node_modules/runs')).toBe(true)
  })
})

describe('commands that begin at once in a fresh clone', () => {
  const together = (commands: string[][]) =>
    Promise.all(
      commands.map(
        (args) =>
          new Promise<{ code: number | null; stderr: string }>((resolve) => {
            const child = spawn(process.execPath, args, settings({ FAKE_NPM_MS: '300' }))
            let stderr = ''
            child.stderr.on('data', (data: Buffer) => {
              stderr += data.toString()
            })
            child.once('close', (code) => resolve({ code, stderr }))
          }),
      ),
    )

  it('install one after the other, and no more than is needed', async () => {
    const ended = await together([START, TEST, START, TEST])
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0])
    expect(ended.some(({ stderr }) => stderr.includes('waiting for it'))).toBe(true)
    const lines = readFileSync(path.join(checkout, 'npm-calls'), 'utf8').trim().split('\n')
    // Never two at a time.
    expect(lines.filter((_, index) => index % 2 === 1).every((line) => line === 'end')).toBe(true)
    expect([[CI_ALL], [CI_RUNTIME, ADD_DEV]]).toContainEqual(calls())
    expect(has('node_modules/tests') && has('node_modules/runs')).toBe(true)
    expect(has('.installing')).toBe(false)
  })

  it('let one of them take over from an owner that died', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    writeFileSync(path.join(checkout, '.installing'), `${os.hostname()} ${dead}`)
    const ended = await together([START, START, START])
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(calls()).toEqual([CI_RUNTIME])
    expect(ended.filter(({ stderr }) => stderr.includes('broken off'))).toHaveLength(1)
  })

  it('wait for npm where only the process that started it was killed', async () => {
    const first = spawn(process.execPath, START, settings({ FAKE_NPM_MS: '1500' }))
    await expect.poll(() => has('npm-calls')).toBe(true)
    // Its npm goes on.
    first.kill('SIGKILL')
    await together([START])
    expect(readFileSync(path.join(checkout, 'npm-calls'), 'utf8')).toBe(
      `${CI_RUNTIME}\nend\n${CI_RUNTIME}\nend\n`,
    )
  })
})

describe('with npm itself', () => {
  it('start, test, start: only test adds, and nothing is removed', { timeout: 120_000 }, () => {
    const pack = (name: string) => {
      const folder = path.join(checkout, 'sources', name)
      mkdirSync(folder, { recursive: true })
      writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0' }))
      expect(npm(['pack', folder]).status).toBe(0)
      return `file:${name}-1.0.0.tgz`
    }
    writeFileSync(
      path.join(checkout, '.npmrc'),
      'offline=true\naudit=false\nfund=false\nomit-lockfile-registry-resolved=true\n',
    )
    const manifest = {
      name: 'fixture',
      dependencies: { runs: pack('runs') },
      devDependencies: { tests: pack('tests') },
    }
    writeFileSync(path.join(checkout, 'package.json'), JSON.stringify(manifest))
    rmSync(path.join(checkout, 'package-lock.json'))
    expect(npm(['install', '--package-lock-only']).status).toBe(0)
    const lockfile = readFileSync(path.join(checkout, 'package-lock.json'), 'utf8')

    const real = { npm_execpath: undefined, NODE_ENV: 'production' }
    expect(run(START, real)).toMatchObject({ status: 0, stdout: '' })
    expect([has('node_modules/runs'), has('node_modules/tests')]).toEqual([true, false])
    expect(run(START, real).stderr).toBe('')
    appendFileSync(path.join(checkout, 'node_modules/runs/in-use'), '')
    expect(run(TEST, real)).toMatchObject({ status: 0, stdout: '' })
    expect([has('node_modules/runs/in-use'), has('node_modules/tests')]).toEqual([true, true])
    expect([run(TEST, real).stderr, run(START, real).stderr]).toEqual(['', ''])
    expect(has('node_modules/tests')).toBe(true)
    expect(readFileSync(path.join(checkout, 'package-lock.json'), 'utf8')).toBe(lockfile)
  })
})

/** The npm on the PATH, in the folder of the test. */
const npm = (args: string[]) =>
  spawnSync('npm', args, {
    cwd: checkout,
    encoding: 'utf8',
    env: { ...process.env, npm_execpath: undefined },
  })
