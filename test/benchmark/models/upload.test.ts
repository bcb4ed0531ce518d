import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { UploadedModel } from '../../../shared/client/benchmark.ts'
import { encode, floats, model, node, setReference, value } from '../../onnx/support/build.ts'
import { needsFiles, own, ownFile, thirdPartyFile } from '../../support/test-models.ts'
import { withBenchmarkService } from '../harness.ts'

const harness = withBenchmarkService({ SCISSION_MAX_MODEL_BYTES: '4000000' })
const client = () => harness().client

beforeEach(async () => {
  for (const model of await client().models()) await client().deleteModel(model.id)
})

const DIGITS = ownFile('digits-cnn.onnx')

async function post(query: string, body: string | Buffer<ArrayBuffer> | FormData) {
  const answer = await fetch(`${harness().url}/v1/models?${query}`, { method: 'POST', body })
  return { status: answer.status, body: (await answer.json()) as UploadedModel & { error?: Failure } }
}
interface Failure {
  code: string
  message: string
  details: Record<string, unknown>
}

const expectNothingStored = async () => expect(await harness().onDisk()).toEqual({ models: [], incoming: [] })

describe('uploading a model', () => {
  it('answers with its id, inputs, outputs, layers and cuts, and stores it', async () => {
    const bytes = await readFile(DIGITS)
    const { status, body } = await post('name=net', bytes)
    expect(status).toBe(201)
    expect(body).toMatchObject({
      id: createHash('sha256').update(bytes).digest('hex'),
      name: 'net',
      version: 1,
      bytes: bytes.length,
      inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28] }],
      outputs: [{ name: 'scores', datatype: 'FP32', shape: [1, 10] }],
      inputShapes: { image: [1, 1, 28, 28] },
      openDimensions: [],
    })
    expect(body.layers).toBeGreaterThan(5)
    expect(body.cuts?.single.length).toBeGreaterThan(0)
    const onDisk = await harness().onDisk()
    expect(onDisk).toEqual({ models: [body.id], incoming: [] })
    expect(await client().model('net')).toEqual(body)
    expect(await client().model(body.id)).toEqual(body)
    expect(await client().model('net@1')).toEqual(body)
  })

  it('answers the same bytes with the same id, and remembers another name', async () => {
    const bytes = await readFile(DIGITS)
    const first = await post('name=net', bytes)
    const again = await post('name=net', bytes)
    expect([again.status, again.body.id, again.body.aliases]).toEqual([200, first.body.id, undefined])
    const renamed = await post('name=digits', bytes)
    expect([renamed.status, renamed.body.id]).toEqual([200, first.body.id])
    expect((await client().model('digits')).id).toBe(first.body.id)
    expect((await client().model('net')).id).toBe(first.body.id)
    expect(await client().models()).toHaveLength(1)
  })

  it('gives other bytes under the same name the next version', async () => {
    await client().uploadModel(DIGITS, 'net')
    const second = await client().uploadModel(ownFile('lstm-state.onnx'), 'net')
    expect(second.version).toBe(2)
    expect((await client().model('net')).id).toBe(second.id)
    expect((await client().model('net@1')).version).toBe(1)
    expect((await client().models()).map((model) => `${model.name}@${model.version}`)).toEqual([
      'net@1',
      'net@2',
    ])
  })

  it('makes one of two uploads of the same bytes at the same time', async () => {
    const bytes = await readFile(DIGITS)
    const answers = await Promise.all(['a', 'b', 'a', 'c'].map((name) => post(`name=${name}`, bytes)))
    expect(answers.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([200, 200, 200, 201])
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1)
    for (const name of ['a', 'b', 'c']) expect((await client().model(name)).id).toBe(answers[0]?.body.id)
    expect((await harness().onDisk()).models).toHaveLength(1)
  })

  it('gives different models uploaded under one name at once different versions', async () => {
    const files = ['digits-cnn.onnx', 'lstm-state.onnx', 'odd-names.onnx'].map(ownFile)
    const models = await Promise.all(files.map((file) => client().uploadModel(file, 'net')))
    expect(models.map((model) => model.version).sort((a, b) => a - b)).toEqual([1, 2, 3])
  })
})

describe.each([
  { file: ownFile('encoder-dynamic.onnx'), options: {} },
  { file: thirdPartyFile('bert_toy_int64_dyn.onnx'), options: needsFiles('bert_toy_int64_dyn.onnx') },
])('an encoder', ({ file, options }) => {
  describe('with open dimensions', options, () => {
    const shapes = { input_ids: [2, 16], token_type_ids: [2, 16], input_mask: [2, 16] }

    it('is accepted and says which they are; its layers need them', async () => {
      const model = await client().uploadModel(file, 'bert')
      expect(model).toMatchObject({ shapesKey: null, layers: null, cuts: null })
      expect(model.openDimensions).toHaveLength(6)
      expect(model.openDimensions[0]).toEqual({ input: 'input_ids', axis: 0, symbol: 'batch' })
      await expect(client().structure('bert')).rejects.toMatchObject({
        code: 'needsInputShapes',
        details: { dims: model.openDimensions },
      })
      const structure = await client().structure('bert', shapes)
      expect(structure.inputShapes).toEqual(shapes)
      expect(structure.boundaries).toHaveLength(structure.layers.length + 1)
    })

    it('needs only one shape where a symbol settles the others', async () => {
      await client().uploadModel(file, 'bert')
      expect((await client().structure('bert', { input_ids: [2, 16] })).inputShapes).toEqual(shapes)
    })

    it('takes shapes with the upload, also with a later one', async () => {
      await client().uploadModel(file, 'bert')
      const shaped = await client().uploadModel(file, 'bert', { inputShapes: shapes })
      expect(shaped.inputShapes).toEqual(shapes)
      expect(shaped.layers).toBeGreaterThan(10)
      expect((await client().structure('bert')).shapesKey).toBe(shaped.shapesKey)
      expect((await client().model('bert')).openDimensions).toEqual([])
    })

    it('refuses shapes that contradict it', async () => {
      await client().uploadModel(file, 'bert')
      const wrong: Record<string, number[]>[] = [{ nosuch: [1] }, { input_ids: [2] }]
      for (const given of wrong)
        await expect(client().structure('bert', given)).rejects.toMatchObject({ code: 'badRequest' })
      // Then the name that they share says nothing of the third input.
      const apart = { input_ids: [2, 16], input_mask: [3, 16] }
      await expect(client().structure('bert', apart)).rejects.toMatchObject({ code: 'needsInputShapes' })
      const answer = await fetch(`${harness().url}/v1/models/bert/layers?shapes=input_ids:axb`)
      expect(answer.status).toBe(400)
    })
  })
})

describe.each([
  { folder: ownFile('decoder-fp16'), options: {}, heads: 2 },
  {
    folder: thirdPartyFile('tiny_llama_fp16_extdata'),
    options: needsFiles('tiny_llama_fp16_extdata'),
    heads: 1,
  },
])('a model', ({ folder, options, heads }) => {
  describe('with external data', options, () => {
    const main = path.join(folder, 'model.onnx')
    const data = { location: 'model.onnx.data', file: path.join(folder, 'model.onnx.data') }
    const past = Object.fromEntries(
      [0, 1].flatMap((layer) =>
        ['key', 'value'].map((kind) => [`past_key_values.${layer}.${kind}`, [1, heads, 0, 16]]),
      ),
    )
    const inputShapes = { input_ids: [1, 8], attention_mask: [1, 8], position_ids: [1, 8], ...past }

    it('is uploaded as a form, and its id covers all of its files', async () => {
      const model = await client().uploadModel(main, 'llama', { inputShapes, externalData: [data] })
      const lines = await Promise.all(
        [main, data.file].map(async (file, index) => {
          const digest = createHash('sha256')
            .update(await readFile(file))
            .digest('hex')
          return `${digest}  ${index === 0 ? 'model.onnx' : data.location}\n`
        }),
      )
      expect(model.id).toBe(createHash('sha256').update(lines.join('')).digest('hex'))
      expect(model.files.map((file) => file.path)).toEqual(['model.onnx', 'model.onnx.data'])
      expect(model.layers).toBeGreaterThan(10)
    })

    it('is refused without them, naming the file and how to send it', async () => {
      const { status, body } = await post('name=llama', await readFile(main))
      expect([status, body.error?.code]).toEqual([422, 'invalidModel'])
      expect(body.error?.message).toMatch(/model\.onnx\.data.*curl -F model=@.*-F 'data=@model\.onnx\.data/)
      expect(body.error?.details['missing']).toEqual(['model.onnx.data'])
      await expectNothingStored()
    })

    it('is refused with files that it does not refer to', async () => {
      const extra = { location: 'other.bin', file: main }
      await expect(
        client().uploadModel(main, 'llama', { inputShapes, externalData: [data, extra] }),
      ).rejects.toMatchObject({ code: 'badRequest', message: expect.stringContaining('other.bin') as string })
      await expectNothingStored()
    })
  })
})

describe('what is no servable model', () => {
  it.each(own.refused)('is refused with the reason: $name', async ({ file, error }) => {
    await expectRefused(await readFile(file), error)
  })

  const files = [
    ['no_opset_import__candy', /opset_import/],
    ['unknown_op_map_output__pcb-aoi', /is a map|LegacyPadding/],
    ['bad_shapes__starry-night-fp16', /[Ii]ncompatible|shape/],
    ['fails_at_run_only__test_model_0_no_opt', /concat/i],
    ['git_lfs_pointer', /Git LFS pointer/],
  ] as const
  describe('of other projects', needsFiles(...files.map(([name]) => `negative/${name}.onnx`)), () => {
    it.each(files)('is refused with the reason: %s', async (name, reason) => {
      await expectRefused(await readFile(thirdPartyFile(`negative/${name}.onnx`)), reason)
    })
  })

  async function expectRefused(bytes: Buffer<ArrayBuffer>, reason: string | RegExp): Promise<void> {
    const { status, body } = await post('name=bad', bytes)
    expect([status, body.error?.code]).toEqual([422, 'invalidModel'])
    expect(body.error?.message).toMatch(reason)
    await expectNothingStored()
    expect(await client().models()).toEqual([])
  }

  it('is refused without its files, in whose names a shell and curl leave nothing out', async () => {
    const weights = floats('w', [3, 400])
    setReference(weights, `it's;"w",1.bin`, 0, weights.rawData.length)
    weights.rawData = new Uint8Array()
    const nodes = [node('MatMul', ['x', 'w'], ['y'])]
    const words = {
      nodes,
      inputs: [value('x', [2, 3])],
      outputs: [value('y', [2, 400])],
      constants: [weights],
    }
    const { body } = await post('name=bad', Buffer.from(encode(model(words))))
    const quoted = String.raw`"it'\''s;\"w\",1.bin"`
    expect(body.error?.message).toContain(`-F 'data=@${quoted};filename=${quoted}'`)
  })

  it('is analysed one item at a time when only its batch is open', async () => {
    const { status, body } = await post('name=net', await readFile(ownFile('upscaler.onnx')))
    expect(status).toBe(201)
    expect(body).toMatchObject({ inputShapes: { picture: [1, 1, 24, 24] }, openDimensions: [] })
  })

  it('is so with a model of another project', needsFiles('superres-10_espcn.onnx'), async () => {
    const bytes = await readFile(thirdPartyFile('superres-10_espcn.onnx'))
    const { status, body } = await post('name=superres', bytes)
    expect(status).toBe(201)
    expect(body).toMatchObject({ inputShapes: { input: [1, 1, 224, 224] }, openDimensions: [] })
  })

  it('is refused when nothing was sent, or something else than ONNX', async () => {
    const bodies = ['', 'hello, this is not a model', '{"model": "resnet"}', '<!doctype html><html></html>']
    for (const text of bodies) {
      const { status, body } = await post('name=bad', text)
      expect([status, body.error?.code], text).toEqual([422, 'invalidModel'])
    }
    expect((await post('name=bad', randomBytes(100_000))).status).toBe(422)
    await expectNothingStored()
  })

  it('is refused when the file was cut off', async () => {
    const bytes = await readFile(DIGITS)
    for (const share of [0.1, 0.5, 0.9, 0.999]) {
      const { status } = await post('name=bad', bytes.subarray(0, Math.floor(bytes.length * share)))
      expect(status).toBe(422)
    }
    await expectNothingStored()
  })

  it('is refused without a usable name', async () => {
    for (const query of [
      '',
      'name=',
      'name=a%2Fb',
      'name=..',
      `name=${'x'.repeat(101)}`,
      `name=${'a'.repeat(64)}`,
    ]) {
      const { status, body } = await post(query, await readFile(DIGITS))
      expect([status, body.error?.code], query).toEqual([400, 'badRequest'])
    }
    await expectNothingStored()
  })
})

describe('uploads that go wrong on the way', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'scission-large-'))
    await writeFile(path.join(folder, 'large.onnx'), randomBytes(12_000_000))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('leave nothing when the uploader disappears', async () => {
    const socket = net.connect(Number(new URL(harness().url).port), '127.0.0.1')
    socket.write('POST /v1/models?name=x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome bytes')
    await expect.poll(async () => (await harness().onDisk()).incoming.length).toBe(1)
    socket.destroy()
    await expect.poll(() => harness().onDisk()).toEqual({ models: [], incoming: [] })
  })

  it('are told 413 when too large: announced, streamed without a length, and as a form', async () => {
    const file = path.join(folder, 'large.onnx')
    await expect(client().uploadModel(file, 'x')).rejects.toMatchObject({ code: 'payloadTooLarge' })
    const external = [{ location: 'w.bin', file }]
    await expect(client().uploadModel(file, 'x', { externalData: external })).rejects.toMatchObject({
      code: 'payloadTooLarge',
    })
    const status = await new Promise((resolve, reject) => {
      const url = `${harness().url}/v1/models?name=x`
      const req = http.request(url, { method: 'POST', agent: false }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
      req.on('error', reject)
      createReadStream(file).pipe(req)
    })
    expect(status).toBe(413)
    await expect.poll(() => harness().onDisk()).toEqual({ models: [], incoming: [] })
  })

  it('do not disturb those that go right', async () => {
    const [refused, accepted] = await Promise.allSettled([
      client().uploadModel(path.join(folder, 'large.onnx'), 'x'),
      client().uploadModel(DIGITS, 'net'),
    ])
    expect([refused.status, accepted.status]).toEqual(['rejected', 'fulfilled'])
    expect(await readdir(path.join(harness().dataDir, 'models'))).toHaveLength(1)
  })
})
