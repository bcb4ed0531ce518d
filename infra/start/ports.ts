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
  if (base === 0) return freePorts(resources)
  const wanted = [base + 1, base + 2, ...Array.from({ length: resources }, (_, i) => base + 10 + i)]
  const held = await Promise.all(wanted.map(hold))
  await Promise.all(held.filter((port) => port !== undefined).map(closeServer))
  const taken = wanted.filter((_, index) => held[index] === undefined)
  if (taken.length > 0) {
    throw new ScissionError(
      'conflict',
      `port ${taken.join(', ')} in use: is Scission running already? Choose others with --port-base N (0 = any free)`,
    )
  }
  const [benchmark = 0, planner = 0, ...inference] = wanted
  return { benchmark, planner, inference }
}

/**
 * Below the ports that operating systems use for outgoing connections (Linux from 32768, macOS from 49152): such a
 * connection could take a port after it was found free here and before its service starts.
 */
const FREE_FROM = 15_000
const FREE_TO = 32_768

async function freePorts(resources: number): Promise<Ports> {
  const held: Held[] = []
  // All ports are held open at the same time, so that none is chosen twice.
  while (held.length < resources + 2) {
    const server = await hold(randomInt(FREE_FROM, FREE_TO))
    if (server) held.push(server)
  }
  await Promise.all(held.map(closeServer))
  const [benchmark = 0, planner = 0, ...inference] = held.map(({ port }) => port)
  return { benchmark, planner, inference }
}

interface Held {
  port: number
  server: net.Server
}

function hold(port: number): Promise<Held | undefined> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen(port, '127.0.0.1', () => resolve({ port, server }))
  })
}

function closeServer({ server }: Held): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
