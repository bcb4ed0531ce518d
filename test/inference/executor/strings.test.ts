/** Strings through ONNX Runtime: they arrive whole, or are refused by tensor and element. */
import fs from 'node:fs'
import path from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Executor, type LoadedStage } from '../../../services/inference/serving/executor/executor.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { decodeElements, encodeElements } from '../../../shared/oip/bytes-elements.ts'
import {
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../shared/onnx/proto/onnx_pb.ts'
import { withFolder } from '../../support/folder.ts'
import { manifestOf, spec, type TinyModel, writeModel } from '../tiny-models.ts'

const folder = withFolder('strings')
const options = { threads: 1, optimisation: 'all' as const }
const executor = new Executor({ executors: 1, queueLimit: 100 })
afterAll(() => executor.close())

const utf8 = (text: string) => Buffer.from(text)
const tensorOf = (elements: readonly Uint8Array[], shape = [elements.length]): Tensor => ({
  name: 's',
  datatype: 'BYTES',
  shape,
  bytes: encodeElements(elements),
})

/** y = s, or y = s followed by the constants, element by element. */
async function load(name: string, constants?: readonly Uint8Array[]): Promise<LoadedStage> {
  const shape = [constants?.length ?? -1]
  const model: TinyModel = {
    inputs: [spec('s', 'BYTES', shape)],
    outputs: [spec('y', 'BYTES', shape)],
    nodes: constants
      ? [{ op: 'Where', inputs: ['which', 's', 'constants'], outputs: ['y'] }]
      : [{ op: 'Identity', inputs: ['s'], outputs: ['y'] }],
  }
  const file = path.join(folder(), `${name}.onnx`)
  writeModel(file, model)
  const proto = fromBinary(ModelProtoSchema, fs.readFileSync(file))
  const add = (tensor: Parameters<typeof create<typeof TensorProtoSchema>>[1]) =>
    proto.graph?.initializer.push(create(TensorProtoSchema, tensor))
  if (constants) {
    const dims = [BigInt(constants.length)]
    add({ name: 'constants', dataType: TensorProto_DataType.STRING, dims, stringData: [...constants] })
    // Takes every constant but the first.
    const which = Uint8Array.from(constants, (_, index) => (index === 0 ? 1 : 0))
    add({ name: 'which', dataType: TensorProto_DataType.BOOL, dims, rawData: which })
  }
  fs.writeFileSync(file, toBinary(ModelProtoSchema, proto))
  return executor.load(name, { path: file, manifest: manifestOf(model), options })
}

async function answer(stage: LoadedStage, elements: readonly Uint8Array[]): Promise<Buffer[]> {
  const { outputs } = await executor.run(stage, [tensorOf(elements)])
  return decodeElements(outputs[0]?.bytes ?? new Uint8Array(), 'y').map((element) => Buffer.from(element))
}

const refused = (element: number, why: string) => ({
  code: 'invalidValues',
  message: expect.stringMatching(new RegExp(`tensor "[sy]": string element ${element} .*${why}`)),
})

describe('strings given to ONNX Runtime', () => {
  let same: LoadedStage
  beforeAll(async () => {
    same = await load('same')
  })

  it('arrive whole if they are text: empty, with marks of byte order, long, with real replacement characters', async () => {
    const texts = ['', 'a', '\uFEFFmark', '\uFFFD', 'Zürich ✓ 💩', '\u0001\u007F', 'é'.repeat(500_000)]
    expect(await answer(same, texts.map(utf8))).toEqual(texts.map(utf8))
  })

  it.each([
    ['a NUL inside', utf8('nul\u0000inside'), 'NUL'],
    ['a NUL at the end', utf8('end\u0000'), 'NUL'],
    ['a NUL alone', utf8('\u0000'), 'NUL'],
    ['a byte that no text has', Uint8Array.of(0x61, 0xff), 'UTF-8'],
    ['half a character', utf8('é').subarray(0, 1), 'UTF-8'],
    ['half a pair of surrogates', Uint8Array.of(0xed, 0xa0, 0x80), 'UTF-8'],
    ['a character written too long', Uint8Array.of(0xc0, 0x80), 'UTF-8'],
  ])('are refused by element with %s', async (_what, element, why) => {
    await expect(answer(same, [utf8('ok'), element])).rejects.toMatchObject(refused(1, why))
  })

  it('are the same or refused, whatever the bytes', async () => {
    const elements = fc.array(fc.uint8Array({ maxLength: 4 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(elements, async (given) => {
        const buffers = given.map((element) => Buffer.from(element))
        const made = await answer(same, buffers).catch((error: { code: string }) => error.code)
        if (made !== 'invalidValues') expect(made).toEqual(buffers)
      }),
      { numRuns: 300 },
    )
  })
})

describe('strings made by ONNX Runtime', () => {
  it('arrive whole if they are text, also with a NUL', async () => {
    const constants = [utf8(''), utf8('nul\u0000inside'), utf8('\uFFFD'), utf8('\uFEFF')]
    const stage = await load('texts', constants)
    const given = ['mine', 'a', 'b', 'c'].map(utf8)
    expect(await answer(stage, given)).toEqual([utf8('mine'), ...constants.slice(1)])
  })

  it('are refused by element if the model’s own bytes cannot be known', async () => {
    const stage = await load('bytes', [utf8(''), utf8('ok'), Uint8Array.of(0xff, 0xfe)])
    await expect(answer(stage, [utf8('a'), utf8('b'), utf8('c')])).rejects.toMatchObject(
      refused(2, 'U\\+FFFD'),
    )
  })

  it('are not refused for bytes of the model that are not in them', async () => {
    const stage = await load('unseen', [Uint8Array.of(0xff), utf8('ok')])
    expect(await answer(stage, [utf8('a'), utf8('b')])).toEqual([utf8('a'), utf8('ok')])
  })
})
