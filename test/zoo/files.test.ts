import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ScissionError } from '../../shared/platform/errors.ts'
import type { TensorProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { ModelProtoSchema } from '../../shared/onnx/proto/onnx_pb.ts'
import { elements } from '../../shared/zoo/graph.ts'
import { buildZooModel, zooGraph } from '../../shared/zoo/index.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scission-zoo-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function digestOf(name: string, seed?: number): Promise<string> {
  const path = join(folder, `${name}-${seed}.onnx`)
  await buildZooModel(name, path, seed === undefined ? {} : { seed })
  const result = await digest(path)
  await rm(path)
  return result
}

describe('a built model', () => {
  it('has the same bytes for the same seed, and others for another', async () => {
    const first = await digestOf('mobilenetv2', 7)
    expect(await digestOf('mobilenetv2', 7)).toBe(first)
    expect(await digestOf('mobilenetv2', 8)).not.toBe(first)
  })

  it('has these very bytes by default, so that its id is the same everywhere', async () => {
    const known = '75d2a83e8500459c120c3c7181aab5fb0a85606015726570df88673144db09f2'
    expect(await digestOf('mobilenetv2')).toBe(known)
    expect(await digestOf('mobilenetv2', 1)).toBe(known)
  })

  it('is one ONNX file with every weight in it, of the announced size', async () => {
    const path = join(folder, 'whole.onnx')
    const built = await buildZooModel('mobilenetv2', path)
    expect(built).toEqual({ name: 'mobilenetv2', path, bytes: (await stat(path)).size })

    const graph = zooGraph('mobilenetv2')
    const model = fromBinary(ModelProtoSchema, await readFile(path))
    expect(model.graph?.node.map((node) => node.name)).toEqual(graph.nodes.map((node) => node.name))
    const initializers = new Map(model.graph?.initializer.map((tensor) => [tensor.name, tensor]))
    expect(initializers.size).toBe(graph.weights.length + graph.constants.length)
    for (const { name, shape, low, high } of graph.weights) {
      const tensor = initializers.get(name)
      expect(tensor?.dims.map(Number)).toEqual(shape)
      const values = floats(tensor)
      expect(values).toHaveLength(elements(shape))
      expect(Math.min(...sample(values))).toBeGreaterThanOrEqual(Math.fround(low))
      expect(Math.max(...sample(values))).toBeLessThanOrEqual(Math.fround(high))
      expect(new Set(sample(values)).size).toBeGreaterThan(Math.min(values.length, 1000) / 2)
    }
    await rm(path)
  })

  it('replaces the file of that name, and leaves nothing else behind', async () => {
    const place = join(folder, 'place')
    await mkdir(place)
    await writeFile(join(place, 'm.onnx'), 'something older')
    const { bytes } = await buildZooModel('MobileNet_V2', join(place, 'm.onnx'))
    expect(await readdir(place)).toEqual(['m.onnx'])
    expect((await stat(join(place, 'm.onnx'))).size).toBe(bytes)
    await rm(place, { recursive: true })
  })

  it('is written with little memory, however large it is', async () => {
    const path = join(folder, 'large.onnx')
    const before = process.memoryUsage()
    let growth = 0
    const { bytes } = await buildZooModel('resnet50', path, {
      onProgress: () => {
        const { arrayBuffers } = process.memoryUsage()
        growth = Math.max(growth, arrayBuffers - before.arrayBuffers)
      },
    })
    expect(bytes).toBeGreaterThan(100_000_000)
    expect(growth).toBeLessThan(16_000_000)
    await rm(path)
  })

  it('reports progress from the first megabyte to the last byte', async () => {
    const path = join(folder, 'progress.onnx')
    const reports: [number, number][] = []
    const { bytes } = await buildZooModel('mobilenetv2', path, {
      onProgress: (written, total) => reports.push([written, total]),
    })
    const written = reports.map(([done]) => done)
    expect(written).toEqual(written.toSorted((a, b) => a - b))
    expect(reports.length).toBeGreaterThan(5)
    expect(reports.at(-1)).toEqual([bytes, bytes])
    await rm(path)
  })
})

describe('a model that cannot be built', () => {
  it('says which names there are when the name is unknown', async () => {
    const failure = buildZooModel('lenet', join(folder, 'x.onnx'))
    await expect(failure).rejects.toThrow(/no zoo model is called "lenet"; there are vgg16, .*nasnetlarge/)
    await expect(failure).rejects.toMatchObject({ code: 'notFound' })
  })

  it('says so when the seed is no integer', async () => {
    const failure = buildZooModel('mobilenetv2', join(folder, 'x.onnx'), { seed: Number('one') })
    await expect(failure).rejects.toThrow('the seed must be an integer, got: NaN')
    await expect(failure).rejects.toBeInstanceOf(ScissionError)
  })

  it('says so when the folder is not there, or is a file', async () => {
    await writeFile(join(folder, 'plain'), '')
    for (const nowhere of ['nowhere', 'plain']) {
      const failure = buildZooModel('mobilenetv2', join(folder, nowhere, 'x.onnx'))
      await expect(failure).rejects.toThrow(/cannot write .*x\.onnx: .*choose a folder that exists/)
      await expect(failure).rejects.toMatchObject({ code: 'badRequest' })
    }
  })

  it('leaves no half-written file when writing fails', async () => {
    const place = join(folder, 'half')
    await mkdir(place)
    const failure = buildZooModel('mobilenetv2', join(place, 'x.onnx'), {
      onProgress: (written) => {
        if (written > 5_000_000) throw new Error('stop here')
      },
    })
    await expect(failure).rejects.toThrow('stop here')
    expect(await readdir(place)).toEqual([])
  })
})

function floats(tensor: TensorProto | undefined): Float32Array {
  const bytes = new Uint8Array(tensor?.rawData ?? [])
  return new Float32Array(bytes.buffer)
}

/** At most a thousand of the values. */
function sample(values: Float32Array): Float32Array {
  return values.subarray(0, 1000)
}
