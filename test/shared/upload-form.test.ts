/** The form in which the client uploads a model with files beside it. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'

const FILES = 100
const FD = '/proc/self/fd'

function openIn(folder: string): number {
  const target = (fd: string) => {
    try {
      return readlinkSync(path.join(FD, fd))
    } catch {
      return ''
    }
  }
  return readdirSync(FD).filter((fd) => target(fd).startsWith(folder)).length
}

it.skipIf(process.platform !== 'linux')(
  'opens one file after another, however many a model has, and sends all of them',
  async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-form-'))
    const files = Array.from({ length: FILES }, (_, index) => {
      const file = path.join(folder, `w${index}`)
      // One is empty.
      writeFileSync(file, 'w'.repeat(10 * index))
      return { location: `weights/w${index}`, file }
    })
    let most = 0
    const server = http.createServer((req, res) => {
      let body = ''
      const look = () => {
        most = Math.max(most, openIn(folder))
      }
      look()
      req.setEncoding('latin1').on('data', (text: string) => {
        look()
        body += text
      })
      req.on('end', () => {
        const isWhole = Number(req.headers['content-length']) === body.length
        const parts = files.filter(({ location }, index) =>
          new RegExp(`filename="${location}"\r\n[^\r]*\r\n\r\nw{${10 * index}}\r\n`).test(body),
        )
        res.writeHead(409, { 'Content-Type': 'application/json' })
        const message = `${isWhole ? 'whole' : 'cut'}, ${parts.length} files`
        res.end(JSON.stringify({ error: { code: 'conflict', message } }))
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const client = createBenchmarkClient(`http://127.0.0.1:${port}`)
    try {
      const upload = client.uploadModel(path.join(folder, 'w1'), 'net', { externalData: files })
      await expect(upload).rejects.toThrow(`whole, ${FILES} files`)
      expect(most).toBeLessThan(5)
    } finally {
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true })
    }
  },
)
