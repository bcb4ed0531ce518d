/**
 * Runs the commands of a page of the documentation as a reader would paste them: all `sh` blocks of the page, in order,
 * as one bash script that ends with the first command that fails. The pages name the addresses that `npm start` uses;
 * here they are replaced by those of a system of the test's own.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { System } from '../../infra/start/system.ts'
import { keyPathIn } from '../../infra/start/system-key-file.ts'
import { choosePorts } from '../../infra/start/ports.ts'
import { SCISSION } from './command.ts'
import { type Block, blocksOf, commandsOf } from './markdown.ts'
import { PATIENCE_MS } from './patience.ts'
import { findPython } from './python.ts'
import { linkTools, missingTools } from './shell-tools.ts'

/** Each reason not to run a block, with what every command of such a block must look like. */
const NOT_RUN: Record<string, RegExp> = {
  'stays up until Ctrl-C': /^(npm start|npx scission up)\b(?!.*--once)/,
  'runs the whole test suite': /^npm test$/,
  'takes minutes of an idle machine': /^npm run bench\b/,
  'starts containers': /^docker compose\b/,
  'makes the secrets of containers': /^mkdir -m 700 secrets && openssl rand /,
  'installs packages': /^(npm (ci|install)|(python3 -m )?pip install)\b/,
  'other machines': /\.example\b/,
}

const python = (modules: string) => () => findPython(modules) !== undefined

/** The tools that some blocks need beside Node, each with a check whether it is here. */
const NEEDS: Record<string, () => boolean> = {
  'docker compose': () => spawnSync('docker', ['compose', 'version']).status === 0,
  python3: python('sys'),
  numpy: python('numpy'),
  tritonclient: python('numpy, tritonclient.http'),
}

/** The port that a service of `npm start` has, by the name of what listens there; 8093 and 8094 are a reader's own. */
const PORTS = { benchmark: 8081, planner: 8082, device: 8090, edge: 8091, cloud: 8092, redis: 6379 } as const
const READERS_PORTS = [8093, 8094]

/** @throws Error for a block whose reason or need is not known here, or whose commands do not fit its reason. */
export function checkBlocks(page: string): void {
  for (const block of blocksOf(page)) {
    const where = `${page}:${block.line}`
    if (block.needs !== undefined && !NEEDS[block.needs])
      throw new Error(`${where}: nobody knows how to find ${block.needs}`)
    if (block.notRun === undefined) continue
    const allowed = NOT_RUN[block.notRun]
    if (!allowed) throw new Error(`${where}: "${block.notRun}" is no reason not to run a block`)
    const wrong = commandsOf(block).find((command) => !allowed.test(command))
    if (wrong !== undefined)
      throw new Error(`${where}: "${wrong}" could be run: "${block.notRun}" is not true of it`)
  }
}

/** Whether a block runs here. If the machine lacks a tool, a line is printed. */
function runsHere(page: string, { needs, line }: Block): boolean {
  if (needs === undefined || NEEDS[needs]?.()) return true
  process.stdout.write(`skipped: ${page}:${line} needs ${needs}\n`)
  return false
}

/** The commands of a page that run on this machine, as one script; empty when there are none. */
export function scriptOf(page: string): string {
  const shell = blocksOf(page).filter(({ language, notRun }) => language === 'sh' && notRun === undefined)
  return shell
    .filter((block) => runsHere(page, block))
    .map(({ text }) => text)
    .join('\n')
}

/** The commands of a page, and those of the scripts that they run. */
function commandTextOf(page: string): string {
  const script = scriptOf(page)
  const scripts = [...script.matchAll(/^bash (\S+\.sh)$/gm)].map(([, file = '']) =>
    readFileSync(file, 'utf8'),
  )
  return [script, ...scripts].join('\n')
}

/** @returns why a page cannot be run on this machine, after it is printed; undefined if it can. */
export function whyNotRun(page: string): string | undefined {
  const missing = missingTools(commandTextOf(page))
  if (missing.length === 0) return undefined
  const why = `${page} needs ${missing.join(', ')}, which the PATH does not have`
  process.stdout.write(`skipped: ${why}\n`)
  return why
}

export interface PageRun {
  code: number | null
  stdout: string
  stderr: string
}

/**
 * @param folder the script's working folder: it is made and looks like a checkout.
 * @param system whose addresses stand for those of `npm start`.
 */
export async function runPage(page: string, folder: string, system: System): Promise<PageRun> {
  mkdirSync(folder, { recursive: true })
  const bin = makeCheckout(folder)
  // The Redis of the system has a password; that of the reader need not.
  const script = scriptOf(page)
    .replaceAll(`redis://127.0.0.1:${PORTS.redis}`, system.redis.url)
    .replaceAll('.scission/system.key', keyPathIn(system.dataDir))
  const body = withAddresses(script, await addressesOf(system))
  writeFileSync(path.join(folder, 'page.sh'), `set -eu\n${body}`)
  return runScript(folder, {
    ...process.env,
    PATH: bin,
    NO_COLOR: '1',
    SCISSION_BENCHMARK_URL: system.benchmarkUrl,
    SCISSION_PLANNER_URL: system.plannerUrl,
    SCISSION_DATA: path.join(folder, 'data'),
  })
}

/** A page waits in loops for what must happen; if it never does, the page ends all the same, in time to say how far it came. */
const LONGEST_MS = 8 * PATIENCE_MS

/** A page ends with its script: what it left in the background does not outlive it. */
function runScript(cwd: string, env: NodeJS.ProcessEnv): Promise<PageRun> {
  const child = spawn('bash', ['page.sh'], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const told = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (told.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (told.stderr += text))
  const endAll = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Nothing of the group is left.
    }
  }
  const timer = setTimeout(() => {
    told.stderr += `\nstopped after ${LONGEST_MS} ms`
    endAll()
  }, LONGEST_MS)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', endAll)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, ...told })
    })
  })
}

async function addressesOf(system: System): Promise<Map<string, string>> {
  const urls: Record<keyof typeof PORTS, string | undefined> = {
    benchmark: system.benchmarkUrl,
    planner: system.plannerUrl,
    redis: system.redis.url,
    device: undefined,
    edge: undefined,
    cloud: undefined,
    ...Object.fromEntries(system.resources.map(({ name, url }) => [name, url])),
  }
  const { inference: free } = await choosePorts(0, READERS_PORTS.length)
  return new Map([
    ...Object.entries(PORTS).map(([name, port]): [string, string] => {
      const url = urls[name as keyof typeof PORTS]
      if (url === undefined) throw new Error(`the system of the test has no ${name}`)
      return [String(port), new URL(url).port]
    }),
    ...READERS_PORTS.map((port, index): [string, string] => [String(port), String(free[index])]),
  ])
}

/** Ports stand behind a host or the name of a setting: `127.0.0.1:8081`, `SCISSION_PORT=8093`. */
function withAddresses(script: string, ports: ReadonlyMap<string, string>): string {
  return script.replaceAll(
    /(127\.0\.0\.1:|localhost:|_PORT=)(\d{4})\b/g,
    (all, before: string, port: string) => (ports.has(port) ? `${before}${ports.get(port)}` : all),
  )
}

/** Files and folders of a checkout. */
const CHECKOUT = [
  'docker-compose.yml',
  'docs',
  'examples',
  'infra',
  'node_modules',
  'package.json',
  'services',
  'shared',
]

/**
 * Makes the folder look like a checkout: its files, and `npm` and `npx` that run the same programs as there. The real
 * ones would do so from the repository's own folder; these keep to the test's.
 */
function makeCheckout(folder: string): string {
  for (const name of CHECKOUT) symlinkSync(path.resolve(name), path.join(folder, name))
  const bin = path.join(folder, 'bin')
  mkdirSync(bin)
  linkTools(bin)
  const node = quoted(process.execPath)
  symlinkSync(process.execPath, path.join(bin, 'node'))
  writeCommand(path.join(bin, 'npx'), [
    'tool=$1; shift',
    `[ "$tool" != scission ] || exec ${node} ${quoted(SCISSION)} "$@"`,
    `exec ${quoted(path.resolve('node_modules/.bin'))}/"$tool" "$@"`,
  ])
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  const cases = Object.entries(scripts).flatMap(([name, text]) => {
    const [, script, rest] = /^node (infra\/start\/\w+\.mjs) (\S+)$/.exec(text) ?? []
    if (script === undefined || rest === undefined) return []
    const argument = rest === 'dist' ? '"$PWD/dist"' : rest
    return [`  ${name}) exec ${node} ${quoted(path.resolve(script))} ${argument} "$@" ;;`]
  })
  writeCommand(path.join(bin, 'npm'), [
    '[ "$1" != run ] || shift',
    'name=$1; shift',
    '[ "${1:-}" != -- ] || shift',
    'case "$name" in',
    ...cases,
    'esac',
    'echo "no test runs this: npm $name $*" >&2; exit 1',
  ])
  return bin
}

function writeCommand(file: string, lines: readonly string[]): void {
  writeFileSync(file, `#!/usr/bin/env bash\n${lines.join('\n')}\n`, { mode: 0o755 })
}

const quoted = (text: string) => `'${text.replaceAll("'", String.raw`'\''`)}'`
