import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/** Stands in for npm: notes its arguments and does what `npm ci` does last, or fails as told. */
const FAKE_NPM = `
const fs = require('node:fs')
fs.writeFileSync('npm-was-called.json', JSON.stringify(process.argv.slice(2)))
const code = Number(process.env.FAKE_NPM_CODE)
if (code) process.exit(code)
fs.mkdirSync('node_modules', { recursive: true })
fs.writeFileSync('node_modules/.package-lock.json', '{}')
`

let checkout: string
beforeEach(() => {
  checkout = mkdtempSync(path.join(os.tmpdir(), 'scission-install-'))
  mkdirSync(path.join(checkout, 'infra/start'), { recursive: true })
  copyFileSync('infra/start/install.mjs', path.join(checkout, 'infra/start/install.mjs'))
  writeFileSync(path.join(checkout, 'npm-cli.js'), FAKE_NPM)
  writeFileSync(path.join(checkout, 'package-lock.json'), '{}')
})
afterEach(() => rmSync(checkout, { recursive: true, force: true }))

function install(fakeNpmCode = 0) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['infra/start/install.mjs'], {
    cwd: checkout,
    encoding: 'utf8',
    env: {
      ...process.env,
      npm_execpath: path.join(checkout, 'npm-cli.js'),
      FAKE_NPM_CODE: String(fakeNpmCode),
    },
  })
  return { status, stdout, stderr }
}

const asked = () => path.join(checkout, 'npm-was-called.json')

/** Seconds after the epoch. */
function touch(file: string, time: number): void {
  utimesSync(path.join(checkout, file), time, time)
}

describe('the install step', () => {
  it('runs npm ci in a fresh clone, says so in one line, and not again', () => {
    const first = install()
    expect(first.status).toBe(0)
    expect(first.stdout.trim().split('\n')).toHaveLength(1)
    expect(first.stdout).toMatch(/installing/)
    expect(JSON.parse(readFileSync(asked(), 'utf8'))).toEqual(['ci', '--no-audit', '--no-fund'])

    rmSync(asked())
    expect(install()).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(existsSync(asked())).toBe(false)
  })

  it('installs again when the lockfile is newer than the last install', () => {
    install()
    rmSync(asked())
    touch('node_modules/.package-lock.json', 1000)
    touch('package-lock.json', 1001)
    expect(install().stdout).toMatch(/newer/)
    expect(existsSync(asked())).toBe(true)
  })

  it('installs when an earlier install was broken off', () => {
    mkdirSync(path.join(checkout, 'node_modules'))
    expect(install().status).toBe(0)
    expect(existsSync(asked())).toBe(true)
  })

  it("ends with npm's code when npm fails, and tries again the next time", () => {
    expect(install(7).status).toBe(7)
    expect(install().status).toBe(0)
  })

  it('says what to do when there is no lockfile', () => {
    rmSync(path.join(checkout, 'package-lock.json'))
    const { status, stderr } = install()
    expect(status).toBe(1)
    expect(stderr).toMatch(/package-lock\.json is missing/)
  })
})
