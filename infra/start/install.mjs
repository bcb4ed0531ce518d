/**
 * What `npm start`, `npm test` and the others run: installs the packages, but only when they are missing or older
 * than the lockfile; then runs the TypeScript file that its first argument names. Plain JavaScript and nothing but
 * Node's own modules, because nothing is installed when it runs first. npm's own `prestart` and `pretest` hooks would
 * not do: `ignore-scripts` (see .npmrc) turns them off too.
 *
 * `npm ci` writes node_modules/.package-lock.json as its last step: its time says when an install was last
 * completed.
 */
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** @param {string} file relative to the repository. Milliseconds; undefined when there is no such file. */
const modified = (file) => statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs

const wanted = modified('package-lock.json')
const installed = modified('node_modules/.package-lock.json')

if (wanted === undefined) {
  console.error('package-lock.json is missing: get it back with git, or make it with `npm install`')
  process.exit(1)
}
if (installed === undefined || installed < wanted) {
  console.log(
    `installing packages (${installed === undefined ? 'none yet' : 'the lockfile is newer'}): npm ci`,
  )
  const code = await install()
  if (code !== 0) process.exit(code)
}
const entry = process.argv[2]
if (entry !== undefined) await start(entry)

/**
 * Goes on as the program itself, in this process: one process less to signal, and to wait for.
 * @param {string} file TypeScript, relative to the repository; the arguments behind it are its own.
 */
async function start(file) {
  const folder = await compiled()
  // What runs from source all the same (tests, benchmarks) starts its processes from there: shared/platform/processes/child-module.ts.
  if (folder !== undefined) process.env.SCISSION_BUILD = folder
  const js = folder && path.join(folder, file.replace(/\.ts$/, '.js'))
  if (js === undefined || !existsSync(js)) {
    const { register } = await import('tsx/esm/api')
    register()
  }
  const target = js !== undefined && existsSync(js) ? js : path.join(root, file)
  process.argv.splice(1, 2, target)
  await import(pathToFileURL(target).href)
}

/** @returns {Promise<string | undefined>} the folder of the compiled code; undefined where it cannot be kept. */
async function compiled() {
  const { build } = await import('./build.mjs')
  try {
    return await build(root)
  } catch (thrown) {
    if (!(thrown instanceof Error && 'syscall' in thrown)) throw thrown
    console.error(
      `compiled code cannot be kept (${thrown.message}): every process compiles its own, and starts slower`,
    )
    return undefined
  }
}

/** @returns {Promise<number>} npm's exit code. */
async function install() {
  const { spawn } = await import('node:child_process')
  const { command, args, shell } = npm()
  const child = spawn(command, [...args, 'ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: 'inherit',
    shell,
  })
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(`npm could not be started: ${error.message}`)
      resolve(1)
    })
    // Ended by a signal: no code of its own.
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

/** The npm that runs this; else the one installed with this Node; else whatever the PATH has. */
function npm() {
  const beside = path.dirname(process.execPath)
  const script = [
    process.env.npm_execpath,
    path.join(beside, '../lib/node_modules/npm/bin/npm-cli.js'),
    path.join(beside, 'node_modules/npm/bin/npm-cli.js'),
  ].find((file) => file && /^npm-cli\.c?js$/.test(path.basename(file)) && existsSync(file))
  if (script) return { command: process.execPath, args: [script], shell: false }
  return { command: 'npm', args: [], shell: process.platform === 'win32' }
}
