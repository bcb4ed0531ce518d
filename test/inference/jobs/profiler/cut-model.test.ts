import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CutModel } from '../../../../services/inference/jobs/profiler/cut-model.ts'
import { type Feeds, Runner } from '../../../../services/inference/jobs/profiler/timed-runs.ts'
import { candidates, measurePair } from '../../../../services/inference/jobs/profiler/measure-cuts.ts'
import type { InputShapes } from '../../../../shared/contracts/common.ts'
import { canonicalPaths, openCanonical, writeRange } from '../../../../shared/onnx/index.ts'
import { ModelProtoSchema } from '../../../../shared/onnx/proto/onnx_pb.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { buildZooModel } from '../../../../shared/zoo/index.ts'
import {
  layerTimes,
  nodesInNames,
  placeNodes,
} from '../../../../services/inference/jobs/profiler/layer-times.ts'
import { Steps } from '../../../../services/inference/jobs/profiler/measuring-steps.ts'
import { measureWhole } from '../../../../services/inference/jobs/profiler/measure-whole.ts'
import { cookFunctions } from '../../../onnx/support/function-recipes.ts'
import { copyOf, fileOf } from '../../../onnx/support/models.ts'
import { own, thirdParty } from '../../../support/test-models.ts'
import { wholeModel, type WholeModel } from './whole-model.ts'

const options = { threads: 1, optimisation: 'basic' } as const
/** With bodies that read from outside, with open dimensions, with quantisation. */
const WRITTEN = [
  'voice-if.onnx',
  'loop-cells.onnx',
  'scan-filter.onnx',
  'encoder-dynamic.onnx',
  'int8-qdq-cnn.onnx',
  'odd-names.onnx',
  'silero_vad_v6_if_lstm.onnx',
  'lstm_loop_tiny.onnx',
  'bert_toy_int64_dyn.onnx',
  'mobilenetv2_int8_qdq.onnx',
  'cct2_vit_opset20.onnx',
]
const written = [...own.works, ...thirdParty.works].filter(({ name }) => WRITTEN.includes(name))
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

async function expectSameRanges(at: { dir: string; file: string }, shapes?: InputShapes): Promise<void> {
  const { structure, path: range } = await wholeModel(path.join(at.dir, at.file), shapes)
  const canonical = await openCanonical(canonicalPaths(at.dir, structure.shapesKey).canonical)
  const inMemory = await CutModel.open(range, structure)
  const last = structure.layers.length
  const middle = Math.floor(last / 2)
  for (const [from, to] of [
    [0, last],
    [0, middle],
    [middle, last],
  ] as const) {
    await writeRange(canonical, from, to, range)
    expect(parts(inMemory.range(from, to))).toEqual(parts(new Uint8Array(fs.readFileSync(range))))
  }
}

describe('a range of a model in memory', () => {
  it('takes the tensors of its first boundary, gives those of its last, and both halves make the whole', async () => {
    const last = whole.structure.layers.length
    const k = candidates(whole.structure)[5] ?? 0
    const session = await model.session(0, last, options)
    const prefix = await model.session(0, k, options)
    const suffix = await model.session(k, last, options)
    expect(prefix.outputNames).toEqual(whole.structure.boundaries[k]?.tensors)
    expect(suffix.inputNames).toEqual(whole.structure.boundaries[k]?.tensors)
    const expected = await session.run(feeds)
    const made = await suffix.run(await prefix.run(feeds))
    const [name = ''] = session.outputNames
    expect(made[name]?.data).toEqual(expected[name]?.data)
    await Promise.all([session, prefix, suffix].map((one) => one.release()))
  })

  it('is measured in two stages that take about what the whole takes, run in turn with it', async () => {
    const session = await model.session(0, whole.structure.layers.length, options)
    const cuts = candidates(whole.structure)
    const k = cuts[Math.floor(cuts.length / 2)] ?? 0
    const beside: number[] = []
    const input = { model, feeds, runner: new Runner(1), options, whole: session }
    const { ratios, wholesMs } = await measurePair(input, k, 2, async (ms) => void beside.push(ms))
    expect(wholesMs).toHaveLength(3)
    expect(beside).toEqual(wholesMs)
    expect(ratios).toHaveLength(2)
    for (const { prefix, suffix } of ratios) {
      expect(prefix).toBeGreaterThan(0)
      expect(suffix).toBeGreaterThan(0)
    }
    await session.release()
  })

  for (const { name, file: source, shapes, tags } of written)
    it(
      `of ${name} is the range that is written to a file, but for the names of its nodes`,
      {
        tags,
      },
      () => expectSameRanges(copyOf(source), shapes),
    )

  it('carries the functions that it calls, as the range that is written to a file', async () => {
    const body = [{ kind: 'weight' as const, isLarge: true, isInitializer: false }]
    const call = (ahead: number) => ({ kind: 'call' as const, ahead })
    const given = cookFunctions({
      functions: [[call(1), ...body], [{ kind: 'unary', op: 'Neg' }], [{ kind: 'loop', body }]],
      main: [call(1), { kind: 'if', yes: [call(0)], no: body }],
      isSeparate: false,
    })
    await expectSameRanges(fileOf(given))
  })

  it('needs no optimised graph where the names of its nodes tell the same', async () => {
    const all = { threads: 1, optimisation: 'all' } as const
    const { session, times, nodes } = await measureWhole(
      {
        model,
        feeds,
        options: all,
        folder: fs.mkdtempSync(path.join(folder, 'events-')),
        runs: 2,
        beside: async () => {},
      },
      new Runner(1),
      new Steps(() => {}),
    )
    await session.release()
    const { layers } = whole.structure
    const named = nodesInNames(layers, times)
    expect(named).toBeDefined()
    const saved = layerTimes(placeNodes(layers, nodes), times, 1).layerMs
    const told = layerTimes(placeNodes(layers, named ?? []), times, 1).layerMs
    for (const k of candidates(whole.structure)) {
      const upTo = (values: number[]) => values.slice(0, k).reduce((sum, ms) => sum + ms, 0)
      expect(Math.abs(upTo(told) - upTo(saved))).toBeLessThan(0.03)
    }
  })

  it('that is no model is refused', async () => {
    const file = path.join(folder, 'broken.onnx')
    // A graph of which a node's last field runs past its end.
    fs.writeFileSync(file, Uint8Array.of(0x3a, 4, 0x0a, 2, 0x0a, 9))
    await expect(CutModel.open(file, whole.structure)).rejects.toMatchObject({ code: 'invalidModel' })
  })

  it('that ONNX Runtime cannot load is said with its text', async () => {
    const broken = { ...whole.structure, boundaries: [] }
    await expect((await CutModel.open(whole.path, broken)).session(0, 5, options)).rejects.toMatchObject({
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
