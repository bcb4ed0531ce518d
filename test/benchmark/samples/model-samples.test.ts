/** Values that a user gives for a model's inputs: with the upload and later, and what is made of them. */
import { deletedKey } from '../../../shared/platform/redis/redis-memory.ts'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { UploadedModel } from '../../../shared/contracts/model.ts'
import { decodeElements } from '../../../shared/oip/bytes-elements.ts'
import { typedView } from '../../../shared/oip/typed-view.ts'
import { npyFile, npyOf, npzOf } from '../../support/numpy.ts'
import { DataType, encode, floats, model, node, value } from '../../onnx/support/build.ts'
import { JSON_TYPE } from '../../support/json-type.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { withBenchmarkService } from '../harness.ts'

const LIMIT = 100_000
const harness = withBenchmarkService({ SCISSION_MAX_SAMPLE_BYTES: String(LIMIT) })
const client = () => harness().client

let folder: string
beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), 'scission-samples-'))))
afterAll(() => rm(folder, { recursive: true, force: true }))
beforeEach(async () => {
  for (const one of await client().models()) await client().deleteModel(one.id)
})

const y = value('y', undefined)
/** Runs only if `target` makes rows of eight: nothing in the model says so before the row that is appended. */
const picky = (rows: number | string = 2) =>
  encode(
    model({
      nodes: [
        node('Relu', ['x'], ['r']),
        node('Reshape', ['r', 'target'], ['t']),
        node('Concat', ['t', 'w'], ['y'], { axis: 0 }),
      ],
      inputs: [value('x', [rows, 12]), value('target', [2], DataType.INT64)],
      outputs: [y],
      constants: [floats('w', [1, 8])],
    }),
  )
const int64 = (...values: number[]) => new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
const target = (...values: number[]) => npyOf('INT64', [values.length], 1, int64(...values)).file
const x = (rows = 2, columns = 12) => npyOf('FP32', [rows, columns], 1).file

interface Part {
  field: string
  name?: string
  content: Uint8Array | string
}

function formOf(parts: readonly Part[]): FormData {
  const form = new FormData()
  for (const { field, name, content } of parts) {
    if (typeof content === 'string') form.append(field, content)
    else form.append(field, new Blob([new Uint8Array(content)]), name ?? field)
  }
  return form
}

interface Answer {
  status: number
  body: UploadedModel & { error?: { code: string; message: string } }
}

async function send(
  method: string,
  url: string,
  body?: FormData | Uint8Array<ArrayBuffer> | string,
): Promise<Answer> {
  const answer = await fetch(`${harness().url}/v1/models${url}`, { method, ...(body && { body }) })
  const text = await answer.text()
  return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Answer['body'] }
}
async function analyse(inputShapes: InputShapes): Promise<Answer> {
  const init = { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ inputShapes }) }
  const answer = await fetch(`${harness().url}/v1/models/net/layers`, init)
  return { status: answer.status, body: (await answer.json()) as Answer['body'] }
}
const upload = (bytes: Uint8Array, ...parts: Part[]) =>
  send('POST', '?name=net', formOf([{ field: 'model', content: bytes }, ...parts]))

describe('samples with an upload', () => {
  it('let a model in that runs on few values only, and the refusal without says so', async () => {
    const refused = await upload(picky())
    expect([refused.status, refused.body.error?.message]).toEqual([
      422,
      expect.stringMatching(/"target" \(INT64 \[2\]\) must have particular values.*samples/),
    ])
    const archive = npzOf({ 'x.npy': x(), 'target.npy': target(3, 8) }, true)
    const { status, body } = await upload(picky(), { field: 'samples', name: 'in.npz', content: archive })
    expect(status).toBe(201)
    expect(body.layers).toBe(3)
    expect(body.samples).toMatchObject({
      bytes: 2 * 12 * 4 + 16,
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [2, 12], bytes: 96 },
        { name: 'target', datatype: 'INT64', shape: [2], bytes: 16 },
      ],
    })
    const structure = await client().structure(body.id)
    expect(structure.samples).toBe(body.samples?.sha256)
    const samples = await client().samples(body)
    expect(samples.map(({ name }) => name)).toEqual(['x', 'target'])
    expect(Array.from(typedView(samples[1]!) as BigInt64Array, Number)).toEqual([3, 8])
  })

  it('may be one array for each input, or JSON, or only those that matter', async () => {
    const forms: Part[][] = [
      [
        { field: 'samples', name: 'x.npy', content: x() },
        { field: 'samples', name: 'target.npy', content: target(3, 8) },
      ],
      [{ field: 'samples', name: 'target.npy', content: target(3, 8) }],
      [
        {
          field: 'samples',
          content: JSON.stringify({
            inputs: [{ name: 'target', datatype: 'INT64', shape: [2], data: [3, 8] }],
          }),
        },
      ],
    ]
    for (const parts of forms) {
      const { status, body } = await upload(picky(), ...parts)
      expect([status, body.error]).toEqual([201, undefined])
      await client().deleteModel(body.id)
    }
  })

  it('fix open dimensions, before the batch of one would', async () => {
    const { body } = await upload(
      picky('batch'),
      { field: 'samples', name: 'x.npy', content: x(4) },
      { field: 'samples', name: 'target.npy', content: target(6, 8) },
    )
    expect(body.inputShapes).toEqual({ x: [4, 12], target: [2] })
  })

  it('of the wrong name, type or shape are refused, saying which', async () => {
    const cases: [Part, RegExp][] = [
      [{ field: 'samples', name: 'tarket.npy', content: target(3, 8) }, /"tarket".*did you mean target\?/],
      [
        { field: 'samples', name: 'x.npy', content: npyOf('FP64', [2, 12]).file },
        /"x": it takes FP32, .*FP64/,
      ],
      [{ field: 'samples', name: 'x.npy', content: x(2, 11) }, /"x" is declared as \[2,12\].*\[2,11\]/],
      [{ field: 'samples', name: 'x.npy', content: target(1).subarray(0, 40) }, /x\.npy": .*header/],
      [{ field: 'samples', name: 'x.txt', content: Buffer.from('hello') }, /x\.txt": neither a .npz/],
      [{ field: 'samples', content: '{"inputs":[]}' }, /they hold no array/],
    ]
    for (const [part, reason] of cases) {
      const { status, body } = await upload(picky(), part)
      expect([status, body.error?.message]).toEqual([400, expect.stringMatching(reason)])
    }
    expect(await harness().onDisk()).toEqual({ models: [], incoming: [] })
  })

  it('that are too large are refused, naming the limit, packed or not', async () => {
    const large = npyOf('FP32', [2, LIMIT / 8 + 1]).file
    const files = [large, npzOf({ 'x.npy': npyFile('<f4', [LIMIT * 4], Buffer.alloc(LIMIT * 16)) }, true)]
    for (const content of files) {
      const { status, body } = await upload(picky(), { field: 'samples', name: 'x.npy', content })
      expect([status, body.error?.code]).toEqual([413, 'payloadTooLarge'])
    }
    const { body } = await upload(picky(), { field: 'samples', name: 'x.npy', content: large })
    expect(body.error?.message).toMatch(/100000 bytes; the limit is set by SCISSION_MAX_SAMPLE_BYTES/)
  })

  it('of the same bytes again replace those that it has', async () => {
    const first = await upload(picky(), { field: 'samples', name: 'target.npy', content: target(3, 8) })
    const again = await upload(picky(), { field: 'samples', name: 'target.npy', content: target(-1, 8) })
    expect([again.status, again.body.id]).toEqual([200, first.body.id])
    expect(again.body.samples?.sha256).not.toBe(first.body.samples?.sha256)
    expect((await client().structure('net')).samples).toBe(again.body.samples?.sha256)
  })
})

describe('samples given later', () => {
  const needsShapes = () =>
    encode(
      model({
        nodes: [node('Reshape', ['x', 'target'], ['t']), node('Concat', ['t', 'w'], ['y'], { axis: 0 })],
        inputs: [value('x', ['rows', 'columns']), value('target', [2], DataType.INT64)],
        outputs: [y],
        constants: [floats('w', [1, 8])],
      }),
    )
  const archive = (...sizes: [number, number]) =>
    npzOf({ 'x.npy': x(), 'target.npy': target(...sizes) }, false)

  it('make up for an analysis that failed, and fix the shapes that were open', async () => {
    const { body } = await upload(needsShapes())
    expect([body.layers, body.inputShapes]).toEqual([null, null])
    expect((await analyse({ x: [2, 12] })).status).toBe(422)
    const given = await send('PUT', '/net/samples', new Uint8Array(archive(3, 8)))
    expect([given.status, given.body.layers]).toEqual([200, 2])
    expect(given.body.inputShapes).toEqual({ x: [2, 12], target: [2] })
    const layers = await analyse({ x: [4, 12] })
    // The values are repeated or cut for other shapes; [3, 8] does not fit four rows of twelve.
    expect([layers.status, layers.body.error?.message]).toEqual([
      422,
      expect.stringContaining('with the samples of "x", "target"'),
    ])
    expect(await send('GET', '/net/samples')).toMatchObject({
      status: 200,
      body: { inputs: [{ name: 'x' }, { name: 'target' }] },
    })
  })

  it('on which the model does not run are refused, and it keeps those that it has', async () => {
    const { body } = await upload(picky(), { field: 'samples', name: 'target.npy', content: target(3, 8) })
    const refused = await send('PUT', '/net/samples', new Uint8Array(archive(8, 3)))
    expect([refused.status, refused.body.error?.code]).toEqual([422, 'invalidModel'])
    const now = await client().model('net')
    expect(now.samples).toEqual(body.samples)
    expect((await client().samples(now)).map(({ name }) => name)).toEqual(['target'])
    expect((await client().structure('net')).samples).toBe(body.samples?.sha256)
  })

  it('can be removed if the model runs without', async () => {
    await upload(picky(), { field: 'samples', name: 'target.npy', content: target(3, 8) })
    const needed = await send('DELETE', '/net/samples')
    expect([needed.status, needed.body.error?.message]).toEqual([
      409,
      expect.stringMatching(/needs its samples/),
    ])
    const simple = encode(
      model({ nodes: [node('Relu', ['x'], ['y'])], inputs: [value('x', [2])], outputs: [y] }),
    )
    await send('POST', '?name=simple', new Uint8Array(simple))
    const sent = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [2], data: [1, 2] }] })
    expect((await send('PUT', '/simple/samples', sent)).status).toBe(200)
    expect((await client().structure('simple')).samples).toBeDefined()
    expect((await send('DELETE', '/simple/samples')).status).toBe(204)
    expect((await client().structure('simple')).samples).toBeUndefined()
    expect((await send('GET', '/simple/samples')).status).toBe(404)
    expect((await send('DELETE', '/simple/samples')).status).toBe(204)
    expect((await send('DELETE', '/nobody/samples')).status).toBe(404)
  })

  it('survive the loss of Redis, and are files of the command line', async () => {
    const file = path.join(folder, 'target.npy')
    await writeFile(file, target(3, 8))
    const onnx = path.join(folder, 'net.onnx')
    await writeFile(onnx, picky())
    const uploaded = await client().uploadModel(onnx, 'net', { samples: [file] })
    // As Redis loses it: with what it remembers of deletions.
    const { redis } = harness().state
    await redis.hdel('scission:models', uploaded.id)
    await redis.del(deletedKey('models', uploaded.id))
    await harness().open({ SCISSION_MAX_SAMPLE_BYTES: String(LIMIT) })
    const restored = await client().model(uploaded.id)
    expect(restored.samples).toEqual(uploaded.samples)
    expect(await client().samples(restored)).toHaveLength(1)
    const changed = await client().giveSamples('net', [file])
    expect(changed.samples?.sha256).toBe(uploaded.samples?.sha256)
  })

  it('may be texts', async () => {
    const bytes = encode(
      model({
        nodes: [node('Cast', ['t'], ['y'], { to: DataType.FLOAT })],
        inputs: [value('t', [2], DataType.STRING)],
        outputs: [y],
      }),
    )
    const texts = npyFile('<U2', [2], Buffer.from(Uint32Array.from([0x34, 0x32, 0x37, 0]).buffer))
    const { status, body } = await upload(bytes, { field: 'samples', name: 't.npy', content: texts })
    expect(status).toBe(201)
    const [sample] = await client().samples(body)
    expect(decodeElements(sample!.bytes, 't').map((one) => Buffer.from(one).toString())).toEqual(['42', '7'])
  })
})
