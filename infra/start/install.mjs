/**
 * The command behind `npm start`, `npm test` and the others: installs the packages that are missing or older than the
 * lockfile says, then runs the TypeScript file that its arguments name. Plain JavaScript and Node's own modules only,
 * because nothing is installed when it runs first. npm's own `prestart` and `pretest` hooks would not do:
 * `ignore-scripts` (see .npmrc) turns them off too.
 *
 *   node infra/start/install.mjs [--dev] [FILE [ARGUMENT…]]
 *
 * `--dev` also installs the packages that only tests and checks import; without it they are neither installed nor
 * removed.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ensureInstalled } from './packages.mjs'

/** What `npm start` runs. */
const START = 'infra/start/main.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dev = process.argv[2] === '--dev'
if (dev) process.argv.splice(2, 1)

// Loading all of it takes a second or two on a slow machine, before it can say so itself.
if (process.argv[2] === START) console.error('Scission is starting')
const code = await ensureInstalled(root, dev)
if (code !== 0) process.exit(code)
const [, , entry] = process.argv
if (entry !== undefined) await start(entry)

/**
 * Continues as the program itself, in this process: one process less to signal, and to wait for.
 * @param file TypeScript, relative to the repository; the arguments behind it are its own.
 */
async function start(file) {
  const folder = await compiled()
  // Code that runs from source (tests, benchmarks) starts its processes from there: shared/platform/processes/child-module.ts.
  if (folder !== undefined) process.env.SCISSION_BUILD = folder
  const js = folder && path.join(folder, file.replace(/\.ts$/, '.js'))
  const target = js && existsSync(js) ? js : path.join(root, file)
  if (target !== js) (await import('tsx/esm/api')).register()
  process.argv.splice(1, 2, target)
  await import(pathToFileURL(target).href)
}

/** @returns {Promise<string | undefined>} the folder of the compiled code; undefined if it cannot be kept. */
async function compiled() {
  const { build } = await import('./build.mjs')
  try {
    // Programs read what a command prints, and its errors; people have a terminal, or start the system.
    const quiet = !process.stderr.isTTY && entry !== START
    return await build(root, undefined, quiet)
  } catch (thrown) {
    if (!(thrown instanceof Error && 'syscall' in thrown)) throw thrown
    console.error(
      `compiled code cannot be kept (${thrown.message}): every process compiles its own, and starts slower`,
    )
    return undefined
  }
}
