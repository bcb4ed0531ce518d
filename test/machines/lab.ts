/**
 * Machines with addresses of their own: a network namespace each, and a switch between them with delay, rate and cut. The
 * programs that make them lie beside the repository (`netlab.sh`, `netswitch.c`), or where SCISSION_TEST_NETLAB says.
 *
 * All of it is made inside namespaces of one process, the keeper: nothing of it is seen outside, several labs stand side by
 * side, and when this process ends, in whatever way, the keeper's input ends and it takes the lab down.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { NETLAB } from '../support/material.ts'

const TOOLS = ['ip', 'cc', 'bash', 'unshare', 'nsenter', 'ethtool']

const KEEP = `
set -e
mkdir -p /run/netns
mount -t tmpfs none /run/netns
trap 'bash "$NETLAB" down' EXIT
bash "$NETLAB" up "$CONFIG" "$@"
echo up
cat > /dev/null
`

/** Why no lab can be made here; undefined if one can. */
export function whyNoLab(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux'
  if (process.getuid?.() !== 0) return 'only root makes network namespaces'
  if (!existsSync(NETLAB)) return `no ${NETLAB}`
  const missing = TOOLS.filter((tool) => findOnPath(tool) === undefined)
  if (missing.length > 0) return `not on the PATH: ${missing.join(', ')}`
  const { status, stderr } = spawnSync('unshare', [
    '--mount',
    '--net',
    'mount',
    '-t',
    'tmpfs',
    'none',
    '/mnt',
  ])
  return status === 0 ? undefined : `namespaces cannot be made here: ${String(stderr).trim()}`
}

/** One direction between two machines. */
export interface Lane {
  from: string
  to: string
  /** Delay in ms. */
  delayMs: number
  /** 0: as fast as it goes. */
  mbps: number
  /** Frames are dropped, in silence. */
  cut?: boolean
}

export class Lab {
  readonly #keeper: ChildProcess
  readonly #folder: string
  readonly #addresses: ReadonlyMap<string, string>

  private constructor(keeper: ChildProcess, folder: string, addresses: ReadonlyMap<string, string>) {
    this.#keeper = keeper
    this.#folder = folder
    this.#addresses = addresses
  }

  /** @throws Error with what the programs printed. */
  static async start(machines: readonly string[], lanes: readonly Lane[]): Promise<Lab> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-lab-'))
    const config = path.join(folder, 'lanes')
    writeLanes(config, lanes)
    const env = { ...process.env, NETLAB, CONFIG: config, NETLAB_DIR: path.join(folder, 'netlab') }
    const keeper = spawn('unshare', ['--mount', '--net', 'bash', '-c', KEEP, 'keeper', ...machines], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
    })
    let errors = ''
    keeper.stderr.on('data', (text) => (errors += String(text)))
    const addresses = new Map<string, string>()
    for await (const line of createInterface({ input: keeper.stdout })) {
      if (line === 'up') return new Lab(keeper, folder, addresses)
      const [machine = '', address = ''] = line.split(' ')
      addresses.set(machine, address)
    }
    rmSync(folder, { recursive: true, force: true })
    throw new Error(`the lab could not be made: ${errors}`)
  }

  addressOf(machine: string): string {
    const address = this.#addresses.get(machine)
    if (address === undefined) throw new Error(`no machine ${machine}`)
    return address
  }

  /** The words of a command that run on the machine; the process keeps its id, its input and its output. */
  on(machine: string, ...command: string[]): [string, string[]] {
    const namespace = `/proc/${this.#keeper.pid}/root/run/netns/nl-${machine}`
    return ['nsenter', [`--net=${namespace}`, '--', ...command]]
  }

  /** Takes effect within 100 ms. */
  setLanes(lanes: readonly Lane[]): void {
    writeLanes(path.join(this.#folder, 'lanes'), lanes)
  }

  async close(): Promise<void> {
    const ended = once(this.#keeper, 'exit')
    this.#keeper.stdin?.end()
    if (this.#keeper.exitCode === null) await ended
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** `from to delay rate [drop]` a line; of several lines that match a direction the last one counts. */
function writeLanes(file: string, lanes: readonly Lane[]): void {
  const lines = lanes.map(({ from, to, delayMs, mbps, cut }) =>
    [from, to, delayMs, mbps, ...(cut === true ? ['drop'] : [])].join(' '),
  )
  writeFileSync(file, `${lines.join('\n')}\n`)
}
