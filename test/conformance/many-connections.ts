/** Holds connections open to a server, each with half a request, and prints how many it accepted. argv: url, count. */
import net from 'node:net'
import { dieWithParent, reportReady } from '../../infra/start/processes/die-with-parent.ts'

dieWithParent()
const [, , url = '', count = '0'] = process.argv
const { hostname, port } = new URL(url)
const HALF = 'POST /v2/models/m/infer HTTP/1.1\r\nHost: s\r\nContent-Length: 1000\r\n\r\n{"inputs":['

let open = 0
let failed = 0
const sockets: net.Socket[] = []

/** A few hundred at a time, so that the listen backlog does not overflow: it is not under test. */
async function openAll(total: number): Promise<void> {
  for (let at = 0; at < total; at += 250)
    await Promise.all(Array.from({ length: Math.min(250, total - at) }, openOne))
}

function openOne(): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname)
    sockets.push(socket)
    socket.once('connect', () => {
      open += 1
      socket.write(HALF)
      resolve()
    })
    socket.on('error', () => {
      failed += 1
      resolve()
    })
  })
}

process.on('message', (message: { close?: true }) => {
  if (!message.close) return
  for (const socket of sockets) socket.destroy()
  process.send?.({ closed: true })
})
await openAll(Number(count))
reportReady('none')
process.send?.({ open, failed })
