import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { candidates } from '../../../../services/inference/jobs/profiler/measure-cuts.ts'
import { type Measurement, profileModel } from '../../../../services/inference/jobs/profiler/profile-model.ts'
import type { InputShapes, ModelId } from '../../../../shared/contracts/common.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import { type BenchmarkProgress, Profile } from '../../../../shared/contracts/profile.ts'
import { buildZooModel } from '../../../../shared/zoo/index.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../../../support/test-models.ts'
import { wholeModel } from './whole-model.ts'

const options = { threads: 1, optimisation: 'all' } as const
let folder: string

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-profile-test-'))
})
afterAll(() => fs.rmSync(folder, { recursive: true }))

function copyOf(source: string): string {
  const dir = fs.mkdtempSync(path.join(folder, 'model-'))
  const file = path.join(dir, 'model.onnx')
  fs.copyFileSync(source, file)
  return file
}

/** The measured part of a profile: the rest names the model and the resource. */
const MeasuredPart = Profile.omit({
  id: true,
  model: true,
  shapesKey: true,
  resource: true,
  options: true,
  machine: true,
  slowdown: true,
  emulated: true,
})

/** Where a model can be cut it says how wrong it is, by cuts that it was not fitted to. */
function expectChecked(structure: Structure, { predictionError, anchors = [] }: Measurement): void {
  if (candidates(structure).length === 0) return expect(predictionError).toBeUndefined()
  expect(predictionError?.cuts.length).toBeGreaterThan(0)
  const fitted = new Set(anchors.map(({ k }) => k))
  expect(predictionError?.cuts.filter(({ k }) => fitted.has(k))).toEqual([])
  expect(predictionError?.cuts.every(({ measuredMs }) => measuredMs > 0)).toBe(true)
}

function expectSound(structure: Structure, measured: Measurement): void {
  expect(measured.layerMs).toHaveLength(structure.layers.length)
  const sum = measured.layerMs.reduce((total, ms) => total + ms, 0)
  expect(sum).toBeCloseTo(measured.whole.medianMs, 6)
  expect(Math.min(...measured.layerMs)).toBeGreaterThanOrEqual(0)
  expect(() => MeasuredPart.parse(measured)).not.toThrow()
  const ends = [
    measured.enterMs?.at(0),
    measured.exitMs?.at(0),
    measured.enterMs?.at(-1),
    measured.exitMs?.at(-1),
  ]
  expect(ends).toEqual([0, 0, 0, 0])
  expect(measured.enterMs).toHaveLength(structure.boundaries.length)
  expect(measured.layers?.every(({ ms, lowMs, highMs }) => lowMs <= ms && ms <= highMs)).toBe(true)
  expectChecked(structure, measured)
  const [, percent = '0'] = /([\d.]+) % of the profiled time fits no layer/.exec(measured.method) ?? []
  expect(Number(percent)).toBeLessThan(5)
}

/** The cost of all layers of one operator. */
function costOf({ layers }: Structure, { layerMs }: Measurement, op: string): number {
  const costs = layers.filter((layer) => layer.op === op).map((layer) => layerMs[layer.index] ?? 0)
  return costs.reduce((sum, ms) => sum + ms, 0)
}

/** A layer with several times the work of another takes longer. */
function expectWorkToCost({ layers }: Structure, { layerMs }: Measurement): void {
  const convolutions = layers
    .filter((layer) => layer.op === 'Conv')
    .sort((a, b) => (a.macs ?? 0) - (b.macs ?? 0))
  const [least, most] = [convolutions[0], convolutions.at(-1)]
  expect(layerMs[most?.index ?? 0]).toBeGreaterThan(layerMs[least?.index ?? 0] ?? 0)
}

/** Measures a model of a file. */
async function measured(source: string, runs: number, shapes?: InputShapes) {
  const model = await wholeModel(copyOf(source), shapes)
  return { structure: model.structure, measurement: await profileModel({ ...model, runs, options }) }
}

async function expectSums(source: string, shapes?: InputShapes): Promise<void> {
  const { structure, measurement } = await measured(source, 6, shapes)
  expectSound(structure, measurement)
  expect(measurement.whole.samplesMs).toHaveLength(6)
  expect(measurement.peakRssBytes).toBeGreaterThan(10_000_000)
}

async function expectFusedCheap(source: string): Promise<void> {
  const { structure, measurement } = await measured(source, 10)
  expect(costOf(structure, measurement, 'Conv')).toBeGreaterThan(costOf(structure, measurement, 'Relu'))
}

describe('models of our own', () => {
  it.each([
    ['digits-cnn.onnx', undefined],
    ['detector.onnx', undefined],
    ['int8-qdq-cnn.onnx', { picture: [1, 3, 32, 32] }],
  ])('%s: its layers sum to the whole, and nearly all of the measured time fits a layer', (name, shapes) =>
    expectSums(ownFile(name), shapes),
  )

  it('a convolution costs more than the activation that ONNX Runtime fuses into it', () =>
    expectFusedCheap(ownFile('digits-cnn.onnx')))
})

const FOREIGN: [name: string, shapes: InputShapes | undefined][] = [
  ['mnist-8_cnn.onnx', undefined],
  ['yolox_nano.onnx', undefined],
  ['mobilenetv2_int8_qdq.onnx', { image: [1, 3, 244, 244] }],
]

describe('models of other projects', needsFiles(...FOREIGN.map(([name]) => name)), () => {
  it.each(FOREIGN)(
    '%s: its layers sum to the whole, and nearly all of the measured time fits a layer',
    (name, shapes) => expectSums(thirdPartyFile(name), shapes),
  )

  it('a convolution costs more than the activation that ONNX Runtime fuses into it', () =>
    expectFusedCheap(thirdPartyFile('mnist-8_cnn.onnx')))
})

describe('MobileNetV2', () => {
  it('is measured with progress that only moves forward, and work costs time', async () => {
    const file = path.join(fs.mkdtempSync(path.join(folder, 'zoo-')), 'mobilenetv2.onnx')
    await buildZooModel('mobilenetv2', file)
    const model = await wholeModel(file)
    const seen: BenchmarkProgress[] = []
    let served = 5
    const measured = await profileModel(
      { ...model, runs: 8, options, requestsServed: () => served++ },
      (progress) => seen.push(progress),
    )
    expectSound(model.structure, measured)
    expectWorkToCost(model.structure, measured)
    expect(costOf(model.structure, measured, 'Conv')).toBeGreaterThan(0.8 * measured.whole.medianMs)
    expect(measured.load.requestsServed).toBe(1)
    expect(measured.method).toMatch(/^median CPU time .* runs, one at a time, split by the profiler's shares/)
    expect(measured.predictionError?.cuts.length).toBeGreaterThanOrEqual(2)
    expect(measured.anchors?.length).toBeGreaterThanOrEqual(1)
    expect(measured.cost?.totalMs).toBeGreaterThan(measured.sessionCreateMs)
    expect(measured.memory?.peakBytes).toBeGreaterThan(10_000_000)
    expect(measured.interval?.relative).toBeGreaterThan(0)
    expect(measured.codecs?.find(({ codec }) => codec === 'q8')?.encodeMsPerMb).toBeGreaterThan(0)
    const fractions = seen.map((progress) => progress.fraction)
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
    expect(seen.at(-1)).toEqual({ fraction: 1, step: 'done', remainingMs: 0 })
    expect(new Set(seen.map((progress) => progress.step)).size).toBeGreaterThan(3)
  })
})

describe('a measurement', () => {
  const request = (file: string) => ({
    path: file,
    structure: {
      model: 'a'.repeat(64) as ModelId,
      shapesKey: 'abcdef012345' as Structure['shapesKey'],
      inputShapes: {},
      inputs: [],
      outputs: [],
      layers: [],
      boundaries: [],
      weightBytes: 0,
    },
    runs: 3,
    options,
  })

  it('fails with the reason when the model cannot be loaded', async () => {
    const file = path.join(folder, 'garbage.onnx')
    fs.writeFileSync(file, 'not a model')
    await expect(profileModel(request(file))).rejects.toMatchObject({ code: 'invalidModel' })
  })

  it('leaves no files behind, however it ends', async () => {
    const file = path.join(folder, 'garbage.onnx')
    // A temporary folder of its own: other tests measure at the same time.
    const temporary = fs.mkdtempSync(path.join(folder, 'tmp-'))
    vi.stubEnv('TMPDIR', temporary)
    // ONNX Runtime itself leaves small files of its telemetry there.
    const ours = () => fs.readdirSync(temporary).filter((name) => name.startsWith('scission'))
    const failing = expect(profileModel({ ...request(file), timeoutMs: 3000 })).rejects.toThrow()
    await expect.poll(ours, { interval: 5 }).toHaveLength(1)
    await failing
    expect(ours()).toEqual([])
    vi.unstubAllEnvs()
  })

  it('ends when it takes too long, and when it is cancelled', async () => {
    const file = path.join(folder, 'garbage.onnx')
    await expect(profileModel({ ...request(file), timeoutMs: 1 })).rejects.toMatchObject({
      details: { reason: 'timeout' },
    })
    const caller = new AbortController()
    const started = profileModel(request(file), undefined, caller.signal)
    caller.abort()
    await expect(started).rejects.toMatchObject({ code: 'cancelled' })
  })
})
