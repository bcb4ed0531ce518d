/**
 * The far end of a link in `links`: the probe routes of an inference service, and beside them one that takes a tensor,
 * works a while, and answers another. argv: bytes of the answer, ms of work, port and host to listen at.
 */
import type http from 'node:http'
import { randomFillSync } from 'node:crypto'
import { readBody } from '../../services/inference/messages/body.ts'
import { linkRoutes } from '../../services/inference/api/probe-routes.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { SERVER_TIMING, writeServerTiming } from '../../shared/platform/transfer-times.ts'
import { createLog } from '../../shared/platform/log.ts'

const [, , answerBytes = '60000', workMs = '15', port = '0', host = '127.0.0.1'] = process.argv
const answer = randomFillSync(Buffer.alloc(Number(answerBytes)))
const app = createApp({
  name: 'peer',
  log: createLog('bench', 'silent'),
  routes: linkRoutes({ measure: () => Promise.resolve([]) }, { resource: 'peer', instance: 'bench' }),
  facts: () => ({}),
  ready: () => Promise.resolve(),
})

async function work(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
  const body = await readBody(req, { maxBytes: 1e8, idleMs: 60_000 })
  const readAt = performance.now()
  await new Promise((resolve) => setTimeout(resolve, Number(workMs)))
  const timing = writeServerTiming(performance.now() - readAt, body.arrival)
  res.writeHead(200, { 'Content-Length': answer.length, [SERVER_TIMING]: timing })
  res.end(answer)
}

const handle = (req: http.IncomingMessage, res: http.ServerResponse) => {
  if (req.url !== '/work') app(req, res)
  else work(req, res).catch(() => res.destroy())
}
const { url } = await listen(handle, Number(port), host)
process.send?.({ ready: true, url })
process.on('disconnect', () => process.exit(0))
