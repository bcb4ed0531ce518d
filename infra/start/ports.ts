/** Ports for a system on one machine. */
import { randomInt } from 'node:crypto'
import net from 'node:net'
import { ScissionError } from '../../shared/platform/errors.ts'

export interface Ports {
  benchmark: number
  planner: number
  /** One port per resource, in the testbed's order. */
  inference: number[]
}

/**
 * @param base 0 = any free ports; otherwise benchmark base+1, planner base+2, inference base+10 and up.
 * @throws ScissionError conflict, which names the ports that are taken.
 */
export async function choosePorts(base: number, resources: number): Promise<Ports> {
  const wanted = [base + 1, base + 2, ...Array.from({ length: resources }, (_, i) => base + 10 + i)]
  const ports = base === 0 ? await freePorts(wanted.length) : await unused(wanted)
  const [benchmark = 0, planner = 0, ...inference] = ports
  return { benchmark, planner, inference }
}

async function unused(wanted: number[]): Promise<number[]> {
  const held = await Promise.all(wanted.map(hold))
  await Promise.all(held.map(closeServer))
  const taken = wanted.filter((_, index) => held[index] === undefined)
  if (taken.length === 0) return wanted
  throw new ScissionError(
    'conflict',
    `port ${taken.join(', ')} in use: is Scission running already? Choose others with --port-base N (0 = any free)`,
  )
}

/**
 * Below the ports that operating systems use for outgoing connections (Linux from 32768, macOS from 49152): such a
 * connection could take a port after it was found free here and before its service starts.
 */
const FREE_FROM = 15_000
const FREE_TO = 32_768

/** @returns different ports of 127.0.0.1 that no server uses. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, net.Server>()
  // All ports are held open at the same time, so that none is chosen twice.
  while (held.size < count) {
    const port = randomInt(FREE_FROM, FREE_TO)
    const server = await hold(port)
    if (server) held.set(port, server)
  }
  await Promise.all([...held.values()].map(closeServer))
  return [...held.keys()]
}

/** @returns a server that holds the port; undefined if another has it. */
function hold(port: number): Promise<net.Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

const closeServer = (server: net.Server | undefined) =>
  new Promise<unknown>((resolve) => (server ? server.close(resolve) : resolve(undefined)))
