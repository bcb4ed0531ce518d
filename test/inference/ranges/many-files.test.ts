/** A model that keeps each tensor in a file of its own, as some exporters write it. */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { RangeStore } from '../../../services/inference/ranges/range-store.ts'
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import { subModel } from './range-server.ts'

const KEY = { model: 'a'.repeat(64) as ModelId, shapesKey: 'abcdef012345' as ShapesKey, from: 0, to: 1 }
const COUNT = 40
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')
const content = (name: string) => Buffer.from(`the bytes of ${name}`)
const names = Array.from({ length: COUNT }, (_, index) => `p${index}.weight`)

/** Serves the range; of the weight files, none is answered before `together` of them are asked for. */
async function serve(together: number): Promise<{ url: string; most: () => number }> {
  const onnx = subModel('many')
  const manifest = {
    ...KEY,
    inputs: [],
    outputs: [],
    passThrough: [],
    onnx: { bytes: onnx.length, sha256: sha256(onnx) },
    weights: names.map((name) => {
      const bytes = content(name)
      return {
        path: name,
        bytes: bytes.length,
        chunkBytes: 4096,
        chunks: [{ index: 0, sha256: sha256(bytes) }],
      }
    }),
  }
  let [asked, most] = [0, 0]
  const waiting: (() => void)[] = []
  const answerFile = (name: string, res: http.ServerResponse) => {
    const body = content(name)
    const range = `bytes 0-${body.length - 1}/${body.length}`
    res.writeHead(206, { 'content-range': range, 'content-length': body.length }).end(body)
  }
  const server = http.createServer((req, res) => {
    const url = req.url ?? ''
    if (url.includes('/manifest')) res.end(JSON.stringify(manifest))
    else if (!url.includes('/files/')) res.end(onnx)
    else {
      asked += 1
      waiting.push(() => answerFile(path.basename(url), res))
      most = Math.max(most, waiting.length)
      if (waiting.length >= together || asked === COUNT) for (const answer of waiting.splice(0)) answer()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, most: () => most }
}

it('is fetched several files at a time, but not all at once', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-many-files-'))
  const { url, most } = await serve(4)
  const store = new RangeStore({ benchmarkUrl: url, folder, limitBytes: 1e9 })
  onTestFinished(() => {
    store.close()
    fs.rmSync(folder, { recursive: true })
  })
  const { path: file } = await store.open(KEY)
  for (const name of names)
    expect(fs.readFileSync(path.join(path.dirname(file ?? ''), name))).toEqual(content(name))
  expect(most()).toBeGreaterThanOrEqual(4)
  expect(most()).toBeLessThanOrEqual(8)
})
