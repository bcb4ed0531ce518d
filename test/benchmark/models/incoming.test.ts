import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import http, { type IncomingMessage } from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  receiveUpload,
  type Upload,
  writeDigested,
} from '../../../services/benchmark/models/receive-upload.ts'
import { ByteBudget } from '../../../services/benchmark/read-form.ts'
import { safeLocation } from '../../../services/benchmark/models/model-store.ts'
import { CHUNK_BYTES } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { type Listening, listen } from '../../../shared/platform/http-server/listen.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

let folder: string
let listening: Listening
/** How the last request ended at the receiver. */
let outcome: Promise<Upload>
let limitBytes = 10_000_000

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'scission-incoming-'))
  limitBytes = 10_000_000
  listening = await listen(
    (req: IncomingMessage, res) => {
      outcome = receiveUpload(req, folder, {
        maxModelBytes: limitBytes,
        maxFiles: 1500,
        maxSampleBytes: 1000,
        grant: { bytes: Infinity, tooManyBytes: () => new ScissionError('internal', 'there is no quota') },
      })
      outcome.then(
        ({ files }) => res.end(JSON.stringify(files)),
        (error: Error & { status?: number }) => {
          res.statusCode = error.status ?? 500
          res.end(error.message)
          req.resume()
        },
      )
    },
    0,
    '127.0.0.1',
  )
})
afterEach(async () => {
  await listening.close()
  await rm(folder, { recursive: true, force: true })
})

const post = (body: string | Buffer<ArrayBuffer> | FormData, headers: Record<string, string> = {}) =>
  fetch(listening.url, { method: 'POST', body, headers })

function formOf(parts: { field: string; name?: string; bytes: Uint8Array<ArrayBuffer> }[]): FormData {
  const form = new FormData()
  for (const { field, name, bytes } of parts) form.append(field, new Blob([bytes]), name ?? field)
  return form
}

const unlimited = () => new ByteBudget(1e9, () => new ScissionError('payloadTooLarge', 'too large'))

describe('digesting a stream into a file', () => {
  it('gives the digest of the whole and of every chunk, however the stream was cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 2 * CHUNK_BYTES + 5 }),
        fc.integer({ min: 1, max: CHUNK_BYTES + 1 }),
        async (size, step) => {
          const bytes = randomBytes(size)
          const cuts: Buffer[] = []
          for (let at = 0; at < size; at += step) cuts.push(bytes.subarray(at, at + step))
          const file = path.join(folder, 'some.bin')
          const digested = await writeDigested(Readable.from(cuts), file, unlimited())
          const expected: string[] = []
          for (let at = 0; at < size; at += CHUNK_BYTES)
            expected.push(sha256(bytes.subarray(at, at + CHUNK_BYTES)))
          expect(digested).toEqual({ bytes: size, sha256: sha256(bytes), chunks: expected })
          expect((await readFile(file)).equals(bytes)).toBe(true)
        },
      ),
      { numRuns: 8 },
    )
  })

  it.skipIf(process.platform !== 'linux')('says so when the disk is full', async () => {
    const write = writeDigested(Readable.from([randomBytes(100_000)]), '/dev/full', unlimited())
    await expect(write).rejects.toThrow(/disk of the benchmark service is full/)
  })
})

describe('receiving an upload', () => {
  it('takes the raw bytes of one file', async () => {
    const bytes = randomBytes(300_000)
    const answer = await post(bytes)
    expect(answer.status).toBe(200)
    expect(await answer.json()).toMatchObject([{ path: 'model.onnx', bytes: 300_000, sha256: sha256(bytes) }])
    expect((await readFile(path.join(folder, 'model.onnx'))).equals(bytes)).toBe(true)
  })

  it('takes a form with external data in folders, the model first whatever the order of the parts', async () => {
    const [weights, model, more] = [randomBytes(200_000), randomBytes(1000), randomBytes(0)]
    const form = formOf([
      { field: 'data', name: 'weights/part 1.bin', bytes: weights },
      { field: 'model', bytes: model },
      { field: 'data', name: './empty.bin', bytes: more },
    ])
    const answer = await post(form)
    expect(await answer.json()).toMatchObject([
      { path: 'model.onnx', sha256: sha256(model) },
      { path: 'empty.bin', bytes: 0 },
      { path: 'weights/part 1.bin', sha256: sha256(weights) },
    ])
    expect((await readFile(path.join(folder, 'weights/part 1.bin'))).equals(weights)).toBe(true)
  })

  it('refuses what announces more than the limit before a byte of it is read', async () => {
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const req = http.request(listening.url, { method: 'POST', headers: { 'Content-Length': 10_000_001 } })
      req.on('response', resolve)
      req.on('error', reject)
      req.flushHeaders()
    })
    expect(answer.statusCode).toBe(413)
    answer.destroy()
  })

  it('refuses what grows past the limit without having announced it, as one file or as several', async () => {
    limitBytes = 100_000
    const raw = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const req = http.request(listening.url, { method: 'POST' })
      req.on('response', resolve)
      req.on('error', reject)
      Readable.from([randomBytes(60_000), randomBytes(60_000)]).pipe(req)
    })
    expect(raw.statusCode).toBe(413)
    raw.destroy()
    const form = formOf([
      { field: 'model', bytes: randomBytes(60_000) },
      { field: 'data', name: 'w.bin', bytes: randomBytes(60_000) },
    ])
    expect((await post(form)).status).toBe(413)
  })

  it.each([
    ['a path out of the folder', '../outside.bin'],
    ['a hidden way out', 'weights/../../outside.bin'],
    ['an absolute path', '/etc/passwd'],
    ['a backslash', '..\\outside.bin'],
    ['a name of the store', 'model.json'],
    ['a file in a name of the store', 'model.onnx/a'],
    ['a name of the analysis', '0123456789ab.canonical.onnx'],
    ['a name of a temporary file', '.scission-1-0.onnx'],
    ['a drive', 'C:/weights.bin'],
    ['a hidden drive', './c:/weights.bin'],
    ['a name that is too long for what is added to it', 'x'.repeat(201)],
    ['a control character', 'a\u0001b'],
  ])('refuses %s as the name of an external data file', async (_what, name) => {
    const answer = await post(
      formOf([
        { field: 'model', bytes: randomBytes(10) },
        { field: 'data', name, bytes: randomBytes(10) },
      ]),
    )
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('external data file name')
  })

  it('takes a form of a thousand and more files, and says which limit one of too many exceeds', async () => {
    const formWith = (count: number) =>
      formOf([
        { field: 'model', bytes: randomBytes(10) },
        ...Array.from({ length: count }, (_, index) => ({
          field: 'data',
          name: `w${index}`,
          bytes: randomBytes(64),
        })),
      ])
    const answer = await post(formWith(1499))
    expect(await answer.json()).toHaveLength(1500)
    expect(await readdir(folder)).toHaveLength(1500)
    const refused = await post(formWith(1500))
    expect([refused.status, await refused.text()]).toEqual([
      413,
      expect.stringMatching(/more than 1500 parts.*SCISSION_MAX_MODEL_FILES/),
    ])
  })

  it.each([
    'onnx::MatMul_0',
    'dense/kernel:0',
    'x:0',
    'a b',
    'a%20b%',
    'a;b="c",d',
    "it's",
    'gewichte-ü-权重 🙂',
    '.hidden/..weights',
    '0123456789ab.bin',
    'weights.samples',
    'weights.chunks',
    'weights.partial',
    'folder/model.json',
    '__proto__',
  ])('keeps the external data file %j under its own name', async (name) => {
    const bytes = randomBytes(100)
    const answer = await post(
      formOf([
        { field: 'model', bytes: randomBytes(10) },
        { field: 'data', name, bytes },
      ]),
    )
    expect(await answer.json()).toMatchObject([{ path: 'model.onnx' }, { path: name, sha256: sha256(bytes) }])
    expect((await readFile(path.join(folder, name))).equals(bytes)).toBe(true)
  })

  it.each([
    ['a', 'a/b'],
    ['a/b/c', 'a/b'],
  ])('refuses the files %j and %j, of which one would be a folder', async (...names) => {
    const answer = await post(
      formOf([
        { field: 'model', bytes: randomBytes(10) },
        ...names.map((name) => ({ field: 'data', name, bytes: randomBytes(10) })),
      ]),
    )
    expect([answer.status, await answer.text()]).toEqual([
      400,
      expect.stringContaining('in a folder of that name'),
    ])
  })

  it('refuses a form without a model, with two parts of one name, or that is no form', async () => {
    const noModel = await post(formOf([{ field: 'data', name: 'w.bin', bytes: randomBytes(10) }]))
    expect([noModel.status, await noModel.text()]).toEqual([400, expect.stringContaining('no field "model"')])
    const twice = await post(
      formOf([
        { field: 'model', bytes: randomBytes(10) },
        { field: 'data', name: 'w.bin', bytes: randomBytes(10) },
        { field: 'data', name: './w.bin', bytes: randomBytes(10) },
      ]),
    )
    expect([twice.status, await twice.text()]).toEqual([
      400,
      expect.stringContaining('two parts are named w.bin'),
    ])
    const noBoundary = await post(randomBytes(10), { 'Content-Type': 'multipart/form-data' })
    expect(noBoundary.status).toBe(400)
    const cutForm = await post(
      '--b\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\nabc',
      {
        'Content-Type': 'multipart/form-data; boundary=b',
      },
    )
    expect([cutForm.status, await cutForm.text()]).toEqual([400, expect.stringContaining('cannot be read')])
  })

  it('refuses compressed bodies instead of storing them as a model', async () => {
    expect((await post(randomBytes(10), { 'Content-Encoding': 'gzip' })).status).toBe(501)
  })

  it.each(['raw', 'form'])('notices that the uploader left half-way (%s)', async (kind) => {
    const socket = net.connect(listening.port, '127.0.0.1')
    const type = kind === 'form' ? 'Content-Type: multipart/form-data; boundary=b\r\n' : ''
    const head =
      kind === 'form' ? '--b\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\n' : ''
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${type}Content-Length: 100000\r\n\r\n${head}only this much`)
    await expect.poll(() => readdir(folder)).toContain('model.onnx')
    socket.destroy()
    await expect(outcome).rejects.toThrow(/upload was interrupted/)
  })
})

describe('names of external data files', () => {
  it('stay inside the folder, whatever they are made of', () => {
    const segment = fc.constantFrom('a', '..', '.', '', 'b.bin', '\\', 'C:', '\0', '…')
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 6 }), (segments) => {
        let clean: string
        try {
          clean = safeLocation(segments.join('/'))
        } catch {
          return
        }
        expect(path.resolve('/root/model', clean)).toMatch(/^\/root\/model\/./)
      }),
    )
  })
})
