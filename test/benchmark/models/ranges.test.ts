import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chunkIndices } from '../../../services/benchmark/models/model-ranges.ts'
import type { UploadedModel } from '../../../shared/client/benchmark.ts'
import { CHUNK_BYTES, RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { buildZooModel } from '../../../shared/zoo/index.ts'
import { needsFiles, thirdPartyFile } from '../../support/test-models.ts'
import { withBenchmarkService } from '../harness.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Models of several chunks: the committed ones are smaller than one. */
const LARGE = [
  {
    name: 'mobilenetv2',
    input: 'input_1',
    size: 224,
    options: {},
    place: async (folder: string) =>
      (await buildZooModel('mobilenetv2', path.join(folder, 'mobilenetv2.onnx'))).path,
  },
  {
    name: 'yolox_nano',
    input: 'images',
    size: 416,
    options: needsFiles('yolox_nano.onnx'),
    place: () => Promise.resolve(thirdPartyFile('yolox_nano.onnx')),
  },
]

describe.each(LARGE)('layer ranges over HTTP', ({ name, input: inputName, size, options, place }) => {
  describe(`of ${name}`, options, () => {
    const harness = withBenchmarkService()
    const client = () => harness().client
    let model: UploadedModel
    let folder: string
    let source: string

    beforeAll(async () => {
      folder = await mkdtemp(path.join(os.tmpdir(), 'scission-ranges-'))
      source = await place(folder)
      model = await client().uploadModel(source, 'net')
    })
    afterAll(() => rm(folder, { recursive: true, force: true }))

    const rangeUrl = (from: number, to: number) =>
      `${harness().url}/v1/models/${model.id}/ranges/${from}-${to}`
    const manifestOf = async (from: number, to: number) =>
      RangeManifest.parse(await (await fetch(`${rangeUrl(from, to)}/manifest`)).json())

    /** Fetches a range as a resource does: the sub-model, and only the weight chunks that its manifest lists. */
    async function fetchRange(from: number, to: number) {
      const manifest = await manifestOf(from, to)
      const own = path.join(folder, `${from}-${to}`)
      await mkdir(own)
      const answer = await fetch(rangeUrl(from, to))
      const bytes = Buffer.from(await answer.arrayBuffer())
      expect(answer.headers.get('etag')).toBe(`"${sha256(bytes)}"`)
      expect({ bytes: bytes.length, sha256: sha256(bytes) }).toEqual(manifest.onnx)
      await writeFile(path.join(own, 'range.onnx'), bytes)
      let fetched = 0
      for (const file of manifest.weights) {
        const sparse = await open(path.join(own, file.path), 'w')
        await sparse.truncate(file.bytes)
        for (const { index, sha256: expected } of file.chunks) {
          const start = index * file.chunkBytes
          const end = Math.min(start + file.chunkBytes, file.bytes) - 1
          const url = `${harness().url}/v1/models/${model.id}/files/${file.path}`
          const part = await fetch(url, { headers: { Range: `bytes=${start}-${end}` } })
          expect(part.status).toBe(206)
          const chunk = Buffer.from(await part.arrayBuffer())
          expect(sha256(chunk)).toBe(expected)
          await sparse.write(chunk, 0, chunk.length, start)
          fetched += chunk.length
        }
        await sparse.close()
      }
      return { manifest, file: path.join(own, 'range.onnx'), fetched }
    }

    const run = async (file: string, feeds: Record<string, Tensor>) => {
      const session = await InferenceSession.create(file, { graphOptimizationLevel: 'basic' })
      try {
        return await session.run(feeds)
      } finally {
        await session.release()
      }
    }

    it('compute in pieces what the whole model computes', async () => {
      const cut = model.cuts?.clean.find((k) => k > (model.layers ?? 0) / 2) ?? 0
      const count = model.layers ?? 0
      const input = new Tensor(
        'float32',
        Float32Array.from({ length: 3 * size * size }, (_value, index) => 100 * Math.sin(index)),
        [1, 3, size, size],
      )
      const whole = await run(source, { [inputName]: input })
      const first = await fetchRange(0, cut)
      const second = await fetchRange(cut, count)
      const carried: Record<string, Tensor> = {
        [inputName]: input,
        ...(await run(first.file, { [inputName]: input })),
      }
      const feeds = Object.fromEntries(
        second.manifest.inputs
          .filter((spec) => !second.manifest.passThrough.includes(spec.name))
          .map((spec) => [spec.name, carried[spec.name] as Tensor]),
      )
      const outputs: Record<string, Tensor> = { ...carried, ...(await run(second.file, feeds)) }
      for (const [name, expected] of Object.entries(whole)) {
        expect(outputs[name]?.data).toEqual(expected.data)
      }
      // Neither piece needed all of the weights, and together little more than that.
      expect(first.fetched).toBeLessThan(model.bytes)
      expect(first.fetched + second.fetched).toBeLessThan(model.bytes + 3 * 1024 * 1024)
    })

    it('say what goes in and comes out, and that boundaries meet', async () => {
      const structure = await client().structure('net')
      const [a, b] = [await manifestOf(0, 20), await manifestOf(20, structure.layers.length)]
      expect(a.inputs).toEqual(structure.inputs)
      expect(a.outputs).toEqual(b.inputs)
      expect(b.outputs).toEqual(structure.outputs)
      expect(a.outputs.map((spec) => spec.name)).toEqual(structure.boundaries[20]?.tensors)
    })

    it('are nothing but a passage when empty', async () => {
      const manifest = await manifestOf(5, 5)
      expect(manifest).toMatchObject({ onnx: null, weights: [] })
      expect(manifest.passThrough).toEqual(manifest.inputs.map((spec) => spec.name))
      const answer = await fetch(rangeUrl(5, 5))
      expect([answer.status, await answer.json()]).toEqual([
        400,
        { error: { code: 'invalidRange', message: expect.stringContaining('runs no layer') as string } },
      ])
    })

    it.each(['9-3', '0-100000', '5', 'a-b', '-1-3', '1.5-2'])(
      'are refused out of order or bounds: %s',
      async (range) => {
        const answer = await fetch(`${harness().url}/v1/models/net/ranges/${range}/manifest`)
        const body = (await answer.json()) as { error: { code: string; message: string } }
        expect([answer.status, body.error.code]).toEqual([400, 'invalidRange'])
        if (/^\d+-\d+$/.test(range)) expect(body.error.message).toContain(`${model.layers} layers`)
      },
    )

    it('are refused for shapes that nobody analysed, and for files that the model does not have', async () => {
      expect((await fetch(`${rangeUrl(0, 3)}/manifest?shapesKey=0123456789ab`)).status).toBe(404)
      expect((await fetch(`${rangeUrl(0, 3)}/manifest?shapesKey=short`)).status).toBe(400)
      for (const file of ['nosuch.bin', 'model.json', 'chunks.json', '..%2F..%2Fsecret', '%2Fetc%2Fpasswd']) {
        const answer = await fetch(`${harness().url}/v1/models/net/files/${file}`)
        expect(answer.status, file).toBe(404)
      }
      expect((await fetch(`${harness().url}/v1/models/nosuch/ranges/0-1/manifest`)).status).toBe(404)
    })

    it('are written once, however many ask for them at the same time', async () => {
      const answers = await Promise.all(
        Array.from({ length: 8 }, async () =>
          Buffer.from(await (await fetch(rangeUrl(3, 30))).arrayBuffer()),
        ),
      )
      expect(new Set(answers.map(sha256)).size).toBe(1)
    })

    it('are written again if an earlier version listed too few bytes', async () => {
      const before = await manifestOf(3, 30)
      const stored = path.join(harness().dataDir, 'models', model.id, `${before.shapesKey}.3-30.json`)
      const weights = before.weights.map((file) => ({ ...file, chunks: file.chunks.slice(1) }))
      expect(RangeManifest.parse(JSON.parse(await readFile(stored, 'utf8')))).toEqual(before)
      await writeFile(stored, JSON.stringify({ ...before, weights }))
      expect(await manifestOf(3, 30)).toEqual(before)
    })

    it('are part of the list of layers', async () => {
      const whole = await client().structure('net')
      const answer = await fetch(`${harness().url}/v1/models/net/layers?from=10&to=12`)
      const slice = (await answer.json()) as typeof whole
      expect(slice.layers.map((layer) => layer.index)).toEqual([10, 11])
      expect(slice.boundaries.map((boundary) => boundary.k)).toEqual([10, 11, 12])
      expect((await fetch(`${harness().url}/v1/models/net/layers?from=10&to=100000`)).status).toBe(400)
    })
  })
})

describe('the chunks of a range', () => {
  it('are exactly those that its extents touch', () => {
    const extent = fc.record({ offset: fc.nat(10 * CHUNK_BYTES), length: fc.nat(3 * CHUNK_BYTES) })
    fc.assert(
      fc.property(fc.array(extent, { maxLength: 5 }), (extents) => {
        const indices = chunkIndices(extents)
        const expected = Array.from({ length: 14 }, (_value, index) => index).filter((index) =>
          extents.some(
            ({ offset, length }) =>
              length > 0 && offset < (index + 1) * CHUNK_BYTES && offset + length > index * CHUNK_BYTES,
          ),
        )
        expect(indices).toEqual(expected)
      }),
    )
  })
})
