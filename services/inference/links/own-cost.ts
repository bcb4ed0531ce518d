/**
 * Measures the cost of a message on this machine without a link. The message is sent to a server in this process, which
 * waits before it answers, as a peer does, so that both sides have fallen asleep. Subtracting the cost from a measurement
 * over a link leaves the link; the peer is assumed to be as fast as this machine.
 */
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { SERVER_TIMING, writeServerTiming } from '../../../shared/platform/transfer-times.ts'
import { readBody } from '../messages/body.ts'
import { Caller, observationOf } from '../http/call.ts'
import { median } from '../../../shared/platform/statistics.ts'
import { Pinger } from './pinger.ts'

export interface OwnCost {
  /** Cost of a request through the HTTP client and server of the inference service. */
  message: Cost
  /** The shortest of a few pings, ms. */
  pingMs: number
}

export interface Cost {
  /** The shortest of a few, ms. */
  ms: number
  /** How much longer half of them took, ms. */
  spreadMs: number
}

export const NO_COST: OwnCost = { message: { ms: 0, spreadMs: 0 }, pingMs: 0 }

/**
 * Uncertainty in ms of a time from which a cost was subtracted. The time may be too short by the whole cost, if the peer has
 * a faster processor, and too long by as much, because the kernel has to wake the peer's process.
 */
export const doubtOf = ({ ms, spreadMs }: Cost): number => ms + spreadMs

/** Runs that do not count: they set up a connection, and their code is compiled meanwhile. */
const WARM_UPS = 2
const RUNS = 6
/** A tensor of medium size in each direction: copying is part of the cost of a message. */
const BODY_BYTES = 64 * 1024
const PAUSE_MS = 10
const TIMEOUT_MS = 5000

/** Takes about 200 ms, almost all of it idle. */
export async function measureOwnCost(): Promise<OwnCost> {
  const server = http.createServer((req, res) => void answer(req, res).catch(() => res.destroy()))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`
  const caller = new Caller()
  const pinger = new Pinger(new URL(url), TIMEOUT_MS)
  try {
    const messages = await timed(() => message(caller, url))
    const pings = await timed(async () => (await pinger.ping()).ms)
    return { message: costOf(messages), pingMs: Math.min(...pings) }
  } finally {
    caller.close()
    pinger.close()
    server.closeAllConnections()
    server.close()
  }
}

/** The times of the runs after the warm-ups. */
async function timed(run: () => Promise<number | undefined>): Promise<number[]> {
  const times: number[] = []
  for (let index = -WARM_UPS; index < RUNS; index += 1) {
    const ms = await run()
    if (index >= 0 && ms !== undefined) times.push(ms)
  }
  return times
}

async function answer(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
  const { arrival } = await readBody(req, { maxBytes: BODY_BYTES, idleMs: TIMEOUT_MS })
  const readAt = performance.now()
  await sleep(PAUSE_MS)
  // A ping is answered as a ping.
  const length = Number(req.headers['content-length']) > 1 ? BODY_BYTES : 1
  const timing = writeServerTiming(performance.now() - readAt, arrival)
  res.writeHead(200, { 'Content-Length': length, [SERVER_TIMING]: timing }).end(Buffer.alloc(length))
}

async function message(caller: Caller, url: string): Promise<number | undefined> {
  const body = [new Uint8Array(BODY_BYTES)]
  const limits = { timeoutMs: TIMEOUT_MS, maxBytes: BODY_BYTES }
  const answer = await caller.send({ method: 'POST', url, headers: {}, body, ...limits })
  const observation = observationOf(answer, answer.times.wireMs)
  return observation && observation.wireMs - observation.workMs
}

/** Zero if nothing was measured. */
function costOf(times: readonly number[]): Cost {
  if (times.length === 0) return { ms: 0, spreadMs: 0 }
  const ms = Math.min(...times)
  return { ms, spreadMs: median(times) - ms }
}
