/** Routes that serve the measurements of other resources, and that start a measurement. */
import { z } from 'zod'
import { ResourceName } from '../../../shared/contracts/common.ts'
import { Link } from '../../../shared/contracts/resource.ts'
import { throttling } from '../../../shared/platform/cgroup.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { OCTETS, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { ArrivalClock, SERVER_TIMING, writeServerTiming } from '../../../shared/platform/transfer-times.ts'
import { MAX_PROBE_BYTES } from '../links/measure-link.ts'
import { type AnsweredBy, writeAnsweredBy } from '../links/answered-by.ts'
import type { Links } from '../links/links.ts'

const PROBE_LIMIT_BYTES = 16 * MAX_PROBE_BYTES
const CHUNK = Buffer.alloc(64 * 1024, 0x5c)

const Swallowed = z.object({ bytes: z.number().int() }).meta({ id: 'SwallowedProbe' })
const MeasuredLinks = z.object({ links: z.array(Link) }).meta({ id: 'MeasuredLinks' })

/** @param here who this is, which answers to probes say. */
export function linkRoutes(links: Pick<Links, 'measure'>, here: AnsweredBy): Route[] {
  const by = writeAnsweredBy(here)
  return [
    route({
      method: 'post',
      path: '/v1/link-probe',
      id: 'receiveProbe',
      access: 'machine',
      summary: 'Swallows a body and says how long it was',
      rawBody: { description: 'Anything', content: OCTETS, optional: true },
      alone: true,
      answers: { 200: { description: 'Bytes received', schema: Swallowed } },
      handle: async (_input, req, res) => {
        let bytes = 0
        const clock = new ArrivalClock()
        for await (const chunk of req.iterator({ destroyOnReturn: false })) {
          bytes += (chunk as Buffer).length
          clock.add((chunk as Buffer).length, performance.now())
          if (bytes > PROBE_LIMIT_BYTES)
            throw new ScissionError('payloadTooLarge', `a probe is at most ${PROBE_LIMIT_BYTES} bytes`)
        }
        const timing = writeServerTiming(0, clock.arrival, throttling()?.stops)
        res.set(SERVER_TIMING, `${timing}, ${by}`)
        return { bytes }
      },
    }),
    route({
      method: 'get',
      path: '/v1/link-probe',
      id: 'sendProbe',
      access: 'machine',
      summary: 'Answers with so many bytes',
      query: z.object({ bytes: z.coerce.number().int().min(0).max(PROBE_LIMIT_BYTES).default(1) }),
      answers: { 200: { description: 'The bytes', content: OCTETS } },
      alone: true,
      handle: ({ query }, _req, res) => {
        res
          .status(200)
          .set({ 'Content-Type': 'application/octet-stream', 'Content-Length': String(query.bytes) })
          .set(SERVER_TIMING, by)
        sendBytes(res, query.bytes)
      },
    }),
    route({
      method: 'post',
      path: '/v1/links/measure',
      id: 'measureLinks',
      access: 'manage',
      summary: 'Measure the links from here to resources of later tiers, now',
      body: z.strictObject({ to: z.array(ResourceName).min(1).optional() }),
      answers: { 200: { description: 'As measured', schema: MeasuredLinks } },
      fails: ['notFound', 'conflict', 'notReady', 'peerUnavailable', 'deadlineExceeded'],
      handle: async ({ body }) => ({ links: await links.measure(body.to) }),
    }),
  ]
}

/** Waits for the socket between chunks, so that a slow reader occupies no memory. */
function sendBytes(res: NodeJS.WritableStream, bytes: number): void {
  let left = bytes
  while (left > 0) {
    const chunk = CHUNK.subarray(0, Math.min(left, CHUNK.length))
    left -= chunk.length
    if (!res.write(chunk) && left > 0) {
      const rest = left
      res.once('drain', () => sendBytes(res, rest))
      return
    }
  }
  res.end()
}
