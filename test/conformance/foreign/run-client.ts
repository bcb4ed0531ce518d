/** Runs the clients and tools that install-clients.sh installed. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { CLIENTS } from '../../support/material.ts'

/** Options of tests that need them: their tag, and to be skipped if they are not there. */
export const NEEDS_CLIENTS = { tags: [CLIENTS.tag], skip: CLIENTS.found === undefined }

export interface Ended {
  /** Exit code; null if it was ended by a signal, as after its time limit. */
  code: number | null
  /** Standard output and error. */
  text: string
}

const LIMIT_MS = 240_000
/** Where Python keeps what it compiled: nothing is compiled at the installation, and nothing beside the scripts. */
const COMPILED = path.join(CLIENTS.path, 'compiled')

/** @param tool a command of the Python environment: `python`, `schemathesis`. */
export const runPython = (tool: string, args: readonly string[], cwd?: string): Promise<Ended> =>
  run(path.join(CLIENTS.path, 'python/bin', tool), args, cwd)

/** @param tool a command of the npm packages: `openapi-typescript`. */
export const runNode = (tool: string, args: readonly string[], cwd?: string): Promise<Ended> =>
  run(process.execPath, [path.join(CLIENTS.path, 'node/node_modules/.bin', tool), ...args], cwd)

/** A script of clients/. */
export const script = (name: string): string => fileURLToPath(new URL(`clients/${name}`, import.meta.url))

function run(command: string, args: readonly string[], cwd?: string): Promise<Ended> {
  // Some tools call others of their environment.
  const PATH = `${path.dirname(command)}${path.delimiter}${process.env.PATH}`
  const env = { ...process.env, PATH, PYTHONPYCACHEPREFIX: COMPILED, PYTHONUNBUFFERED: '1', NO_COLOR: '1' }
  return new Promise((resolve) => {
    const child = execFile(
      command,
      args,
      { cwd, env, timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        resolve({ code: error ? child.exitCode : 0, text: stdout + stderr })
      },
    )
  })
}
