import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CutModel } from '../../../services/inference/profiler/cut-model.ts'
import { measurePair, openRange } from '../../../services/inference/profiler/pair.ts'
import { type Feeds, Runner } from '../../../services/inference/profiler/runs.ts'
import { candidates } from '../../../services/inference/profiler/cuts.ts'
import { makeInputs } from '../../../shared/onnx/inputs.ts'
import { toOrt } from '../../../shared/ort-tensor.ts'
import { buildZooModel } from '../../../shared/zoo/index.ts'
import { wholeModel, type WholeModel } from './whole-model.ts'

const options = { threads: 1, optimisation: 'basic' } as const
let folder: string
let whole: WholeModel
let model: CutModel
let feeds: Feeds

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-cut-model-'))
  const file = path.join(folder, 'mobilenetv2.onnx')
  await buildZooModel('mobilenetv2', file)
  whole = await wholeModel(file)
  model = new CutModel(whole.path, whole.structure)
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

  it('that ONNX Runtime cannot load is said with its text', async () => {
    const broken = { ...whole.structure, boundaries: [] }
    await expect(openRange(new CutModel(whole.path, broken), 0, 5, options)).rejects.toMatchObject({
      code: 'invalidModel',
    })
  })
})
