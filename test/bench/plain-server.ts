/** The baseline of a hop: a bare node:http server that takes a body into one buffer and answers with a few bytes. */
import type http from 'node:http'
import { dieWithParent, reportReady } from '../../infra/start/processes/die-with-parent.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'

dieWithParent()
const body = Buffer.alloc(16 * 1024 * 1024)
const ANSWER = Buffer.from('{"model_name":"none","outputs":[]}')

function swallow(req: http.IncomingMessage, res: http.ServerResponse): void {
  let at = 0
  req.on('data', (chunk: Buffer) => {
    body.set(chunk, at)
    at += chunk.length
  })
  req.on('end', () => {
    res.setHeader('Content-Length', ANSWER.length)
    res.end(ANSWER)
  })
}

reportReady((await listen(swallow, 0, '127.0.0.1')).url)
