import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { CutModel } from '../../../services/inference/profiler/cut-model.ts'
import { measurePair, openRange } from '../../../services/inference/profiler/pair.ts'
import { type Feeds, Runner } from '../../../services/inference/profiler/runs.ts'
import { candidates } from '../../../services/inference/profiler/cuts.ts'
import type { InputShapes, ModelId } from '../../../shared/contracts/common.ts'
import { analyseInChild, canonicalPaths, openCanonical, writeRange } from '../../../shared/onnx/index.ts'
import { ModelProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'
import { makeInputs } from '../../../shared/onnx/inputs.ts'
import { toOrt } from '../../../shared/ort-tensor.ts'
import { buildZooModel } from '../../../shared/zoo/index.ts'
import { wholeModel, type WholeModel } from './whole-model.ts'

const options = { threads: 1, optimisation: 'basic' } as const
const MODELS = path.resolve('../shared/models')
/** With bodies that read from outside, with open dimensions, with quantisation. */
const WRITTEN = [
  'silero_vad_v6_if_lstm.onnx',
  'lstm_loop_tiny.onnx',
  'bert_toy_int64_dyn.onnx',
  'mobilenetv2_int8_qdq.onnx',
  'cct2_vit_opset20.onnx',
]
let folder: string
let whole: WholeModel
let model: CutModel
let feeds: Feeds

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-cut-model-'))
  const file = path.join(folder, 'mobilenetv2.onnx')
  await buildZooModel('mobilenetv2', file)
  whole = await wholeModel(file)
  model = await CutModel.open(whole.path, whole.structure)
  feeds = Object.fromEntries(
    makeInputs(whole.structure.inputs, 1).map((tensor) => [tensor.name, toOrt(tensor)]),
  )
})
afterAll(() => fs.rmSync(folder, { recursive: true }))

describe('a range of a model in memory', () => {
  it('takes the tensors of its first boundary, gives those of its last, and both halves make the whole', async () => {
    const last = whole.structure.layers.length
    const k = candidates(whole.structure)[5] ?? 0
    const session = await openRange(model, 0, last, options)
    const prefix = await openRange(model, 0, k, options)
    const suffix = await openRange(model, k, last, options)
    expect(prefix.outputNames).toEqual(whole.structure.boundaries[k]?.tensors)
    expect(suffix.inputNames).toEqual(whole.structure.boundaries[k]?.tensors)
    const expected = await session.run(feeds)
    const made = await suffix.run(await prefix.run(feeds))
    const [name = ''] = session.outputNames
    expect(made[name]?.data).toEqual(expected[name]?.data)
    await Promise.all([session, prefix, suffix].map((one) => one.release()))
  })

  it('is measured in two stages that take about what the whole takes, run in turn with it', async () => {
    const session = await openRange(model, 0, whole.structure.layers.length, options)
    const cuts = candidates(whole.structure)
    const k = cuts[Math.floor(cuts.length / 2)] ?? 0
    const times = await measurePair(model, k, feeds, 2, new Runner(1), options, session)
    expect(times.wholesMs).toHaveLength(2)
    expect(times.prefixMs).toBeGreaterThan(0)
    expect(times.suffixMs).toBeGreaterThan(0)
    await session.release()
  })

  it.each(WRITTEN)(
    'of %s is the range that is written to a file, but for the names of its nodes',
    async (name) => {
      const source = path.join(MODELS, name)
      if (!fs.existsSync(source)) return console.log(`skipped: no ${source}`)
      const dir = fs.mkdtempSync(path.join(folder, 'written-'))
      const shapes = manifestShapes(name)
      fs.copyFileSync(source, path.join(dir, 'model.onnx'))
      const limits = { timeoutMs: 60_000, memoryLimitBytes: 2 ** 32 }
      const id = 'a'.repeat(64) as ModelId
      const structure = await analyseInChild({
        dir,
        file: 'model.onnx',
        model: id,
        inputShapes: shapes,
        ...limits,
      })
      const canonical = await openCanonical(canonicalPaths(dir, structure.shapesKey).canonical)
      const last = structure.layers.length
      const file = path.join(dir, 'range.onnx')
      await writeRange(canonical, 0, last, file)
      const inMemory = await CutModel.open(file, structure)
      const middle = Math.floor(last / 2)
      for (const [from, to] of [
        [0, last],
        [0, middle],
        [middle, last],
      ] as const) {
        await writeRange(canonical, from, to, file)
        expect(parts(inMemory.range(from, to))).toEqual(parts(new Uint8Array(fs.readFileSync(file))))
      }
    },
  )

  it('that ONNX Runtime cannot load is said with its text', async () => {
    const broken = { ...whole.structure, boundaries: [] }
    await expect(openRange(await CutModel.open(whole.path, broken), 0, 5, options)).rejects.toMatchObject({
      code: 'invalidModel',
    })
  })
})

/** Everything in a model, nodes without their names. */
function parts(bytes: Uint8Array) {
  const { graph, opsetImport, irVersion } = fromBinary(ModelProtoSchema, bytes)
  return {
    irVersion,
    opsetImport,
    nodes: graph?.node.map((node) => ({ ...node, name: '' })),
    initializers: graph?.initializer,
    inputs: graph?.input,
    outputs: graph?.output,
    name: graph?.name,
  }
}

function manifestShapes(name: string): InputShapes | undefined {
  const Entry = z.object({
    file: z.string(),
    runShapes: z.record(z.string(), z.tuple([z.string(), z.array(z.number())])).nullable(),
  })
  const entries = z
    .array(Entry)
    .parse(JSON.parse(fs.readFileSync(path.join(MODELS, 'MANIFEST.json'), 'utf8')))
  const shapes = entries.find(({ file }) => file === name)?.runShapes
  return shapes ? Object.fromEntries(Object.entries(shapes).map(([key, [, dims]]) => [key, dims])) : undefined
}
