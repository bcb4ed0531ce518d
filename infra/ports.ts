/** Ports for a system on one machine. */
import net from 'node:net'
import { ScissionError } from '../shared/errors.ts'

export interface Ports {
  benchmark: number
  planner: number
  /** One per resource, in the testbed's order. */
  inference: number[]
}

/**
 * @param base 0 = any free ports, else benchmark base+1, planner base+2, inference base+10 and up.
 * @throws ScissionError conflict naming the ports that are taken.
 */
export async function choosePorts(base: number, resources: number): Promise<Ports> {
  const wanted =
    base === 0
      ? Array.from({ length: resources + 2 }, () => 0)
      : [base + 1, base + 2, ...Array.from({ length: resources }, (_, i) => base + 10 + i)]
  // All are held open at once, so that no free port is handed out twice.
  const held = await Promise.all(wanted.map(hold))
  await Promise.all(held.filter((port) => port !== undefined).map(closeServer))
  const taken = wanted.filter((_, index) => held[index] === undefined)
  if (taken.length > 0) {
    throw new ScissionError(
      'conflict',
      `port ${taken.join(', ')} in use: is Scission running already? Choose others with --port-base N (0 = any free)`,
    )
  }
  const ports = held.map((server) => (server ? server.port : 0))
  const [benchmark = 0, planner = 0, ...inference] = ports
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
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      resolve({ port: typeof address === 'object' && address ? address.port : port, server })
    })
  })
}

function closeServer({ server }: Held): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
