/**
 * Compares the packages in node_modules with the lockfile, and has npm install those that are missing:
 *
 *   nothing usable, or another lockfile      `npm ci`, without the dev packages unless they are asked for or were there
 *   all but the dev packages, which are asked for      `npm install --no-save`, which adds them and touches no other:
 *                                                      a system that runs from this folder meanwhile keeps its files
 *
 * The state is read from node_modules/.package-lock.json, which npm writes as its last step and `npm ci` removes as
 * its first, and from the packages' own folders. An install that was broken off in between leaves its lock behind
 * (install-lock.mjs).
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { acquireInstallLock, isInstallLocked } from './install-lock.mjs'
import { sayWhileWaiting } from './waiting.mjs'

/** As `engines` of package.json says. */
const MIN_NODE = 20

/**
 * @typedef {{ version?: string, dev?: boolean, optional?: boolean, devOptional?: boolean, peer?: boolean }} Locked
 * @typedef {{ npm: string[], reason: string }} Step what npm is called with, and why.
 */

/**
 * Installs what is missing. Processes that do this at once take turns.
 * @param {string} root the repository.
 * @param {boolean} dev whether the dev packages are needed too.
 * @returns {Promise<number>} an exit code: npm's if it failed.
 */
export async function ensureInstalled(root, dev) {
  if (!existsSync(path.join(root, 'package-lock.json'))) {
    console.error('package-lock.json is missing: get it back with git, or make it with `npm install`')
    return 1
  }
  if (!isInstallLocked(root) && nextStep(root, dev, false) === undefined) return 0
  try {
    const lock = await acquireInstallLock(root)
    return await installUnder(lock, root, dev)
  } catch (thrown) {
    if (!(thrown instanceof Error && 'syscall' in thrown)) throw thrown
    console.error(`packages cannot be installed: ${thrown.message}`)
    return 1
  }
}

async function installUnder(lock, root, dev) {
  const step = nextStep(root, dev, lock.brokenOff)
  // The owner before has installed all of it.
  if (step === undefined) {
    lock.release()
    return 0
  }
  const code = await sayWhileWaiting(
    `installing packages (${step.reason}): npm ${step.npm.join(' ')}`,
    () => runNpm(root, [...step.npm, '--no-audit', '--no-fund'], lock.noteNpm),
    () => installedSoFar(root, step.npm.includes('--include=dev')),
  )
  // Ended by a signal: the lock stays, because half a package may be there.
  if (code === null) return 1
  // npm undoes an `install` that fails, and a failed `ci` leaves no list of what is installed.
  lock.release()
  const left = code === 0 ? nextStep(root, dev, false) : undefined
  if (left) console.error(`npm ended well, but the packages are not those of the lockfile: ${left.reason}`)
  return code
}

/**
 * npm downloads packages before it puts them in place. Optional ones are left out: most are for other platforms.
 * @returns {string} how many of those that it installs have a folder by now.
 */
function installedSoFar(root, withDev) {
  const locked = Object.entries(readPackages(path.join(root, 'package-lock.json')) ?? {})
  const isWanted = ([name, one]) => name && !one.optional && (withDev || !(one.dev || one.devOptional))
  const names = locked.filter(isWanted).map(([name]) => name)
  const there = names.filter((name) => existsSync(path.join(root, name, 'package.json')))
  return `${there.length} of ${names.length} packages are in place`
}

/**
 * @param brokenOff whether the install before was.
 * @returns {Step | undefined} undefined if nothing is missing.
 */
function nextStep(root, dev, brokenOff) {
  const locked = readPackages(path.join(root, 'package-lock.json')) ?? {}
  const installed = readPackages(path.join(root, 'node_modules/.package-lock.json'))
  const hasDev = Object.values(installed ?? {}).some((one) => one.dev)
  const withDev = dev || hasDev
  const whole = ['ci', withDev ? '--include=dev' : '--omit=dev']
  if (brokenOff) return { npm: whole, reason: 'the last install was broken off' }
  if (installed === undefined) return { npm: whole, reason: 'none yet' }
  const differing = differences(root, locked, installed)
  const differs = differing.find((name) => hasDev || !locked[name]?.dev)
  if (differs !== undefined) {
    const name = differs.replace(/^.*node_modules\//, '')
    return { npm: whole, reason: `${name} is not there as the lockfile has it` }
  }
  return withDev && differing.length > 0
    ? {
        npm: ['install', '--no-save', '--include=dev'],
        reason: 'those of tests and checks are not there yet',
      }
    : undefined
}

/** @returns {string[]} the folders of packages that are missing, of another version, or not in the lockfile. */
function differences(root, locked, installed) {
  return [
    ...Object.keys(locked).filter(
      (name) => name !== '' && !isInPlace(root, name, locked[name], installed[name]),
    ),
    ...Object.keys(installed).filter((name) => locked[name] === undefined),
  ]
}

/**
 * Optional packages are for other platforms as well, and npm may be told to leave peers out: those count only if they
 * are of another version.
 * @param {string} name its folder, as lockfiles name packages.
 */
function isInPlace(root, name, locked, installed) {
  if (installed === undefined) return Boolean(locked.optional || locked.devOptional || locked.peer)
  return installed.version === locked.version && existsSync(path.join(root, name, 'package.json'))
}

/** @returns {Record<string, Locked> | undefined} undefined if it is absent or not whole. */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {}
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

/** @returns {Promise<number | null>} npm's exit code; null if a signal ended it. */
async function runNpm(root, args, onStart) {
  const { spawn } = await import('node:child_process')
  const npm = findNpm()
  // What npm prints is no result of what is run afterwards.
  const stdio = ['inherit', process.stderr, 'inherit']
  const options = { cwd: root, env: npmEnvironment(), stdio, shell: npm.shell }
  const child = spawn(npm.command, [...npm.args, ...args], options)
  if (child.pid !== undefined) onStart(child.pid)
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(`npm could not be started: ${error.message}`)
      resolve(1)
    })
    child.once('exit', resolve)
  })
}

/**
 * npm's warnings are about packages whose versions are pinned here, so its user cannot act on them: it prints errors only.
 * An unsupported Node is worth its warning.
 */
function npmEnvironment() {
  const isSupported = Number.parseInt(process.versions.node) >= MIN_NODE
  return isSupported ? { npm_config_loglevel: 'error', ...process.env } : process.env
}

/** The npm that runs this; else the one installed with this Node; else the one on the PATH. */
function findNpm() {
  const beside = path.dirname(process.execPath)
  const script = [
    process.env.npm_execpath,
    path.join(beside, '../lib/node_modules/npm/bin/npm-cli.js'),
    path.join(beside, 'node_modules/npm/bin/npm-cli.js'),
  ].find((file) => file && /^npm-cli\.c?js$/.test(path.basename(file)) && existsSync(file))
  if (script) return { command: process.execPath, args: [script], shell: false }
  return { command: 'npm', args: [], shell: process.platform === 'win32' }
}
