import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Measurement, profileModel } from '../../../services/inference/profiler/profile.ts'
import type { InputShapes, ModelId } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { BenchmarkProgress } from '../../../shared/contracts/profile.ts'
import { analyseInChild, canonicalPaths, openCanonical, writeRange } from '../../../shared/onnx/index.ts'
import { buildZooModel } from '../../../shared/zoo/index.ts'

const SHARED = path.resolve('../shared/models')
const options = { threads: 1, optimisation: 'all' } as const
let folder: string

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-profile-test-'))
})
afterAll(() => fs.rmSync(folder, { recursive: true }))

/** The whole model as the range 0..N, as a resource gets it. */
async function whole(
  file: string,
  inputShapes?: InputShapes,
): Promise<{ path: string; structure: Structure }> {
  const dir = path.dirname(file)
  const structure = await analyseInChild({
    dir,
    file: path.basename(file),
    model: 'a'.repeat(64) as ModelId,
    inputShapes,
    timeoutMs: 60_000,
    memoryLimitBytes: 2 ** 32,
  })
  const canonical = await openCanonical(canonicalPaths(dir, structure.shapesKey).canonical)
  const target = path.join(dir, 'whole.onnx')
  await writeRange(canonical, 0, structure.layers.length, target)
  return { path: target, structure }
}

function copyOf(name: string): string {
  const dir = fs.mkdtempSync(path.join(folder, 'model-'))
  const file = path.join(dir, 'model.onnx')
  fs.copyFileSync(path.join(SHARED, name), file)
  return file
}

function expectSound(structure: Structure, measured: Measurement): void {
  expect(measured.layerMs).toHaveLength(structure.layers.length)
  const sum = measured.layerMs.reduce((total, ms) => total + ms, 0)
  expect(sum).toBeCloseTo(measured.whole.medianMs, 6)
  expect(Math.min(...measured.layerMs)).toBeGreaterThanOrEqual(0)
  const [, percent = '0'] = /([\d.]+) % of the profiled time fits no layer/.exec(measured.method) ?? []
  expect(Number(percent)).toBeLessThan(5)
}

/** What layers of one operator cost together. */
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

describe.skipIf(!fs.existsSync(SHARED))('real models', () => {
  it.each([
    ['mnist-8_cnn.onnx', undefined],
    ['yolox_nano.onnx', undefined],
    ['mobilenetv2_int8_qdq.onnx', { image: [1, 3, 244, 244] }],
  ])(
    '%s: its layers sum to the whole, and nearly all of the measured time fits a layer',
    async (name, shapes) => {
      const model = await whole(copyOf(name), shapes)
      const measured = await profileModel({ ...model, runs: 6, options })
      expectSound(model.structure, measured)
      expect(measured.whole.samplesMs).toHaveLength(6)
      expect(measured.peakRssBytes).toBeGreaterThan(10_000_000)
    },
  )

  it('a convolution costs more than the activation that ONNX Runtime fuses into it', async () => {
    const model = await whole(copyOf('mnist-8_cnn.onnx'))
    const measured = await profileModel({ ...model, runs: 10, options })
    expect(costOf(model.structure, measured, 'Conv')).toBeGreaterThan(
      costOf(model.structure, measured, 'Relu'),
    )
  })
})

describe('MobileNetV2', () => {
  it('is measured with progress that only moves forward, and work costs time', async () => {
    const file = path.join(fs.mkdtempSync(path.join(folder, 'zoo-')), 'mobilenetv2.onnx')
    await buildZooModel('mobilenetv2', file)
    const model = await whole(file)
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
    expect(measured.method).toMatch(/^median CPU time .* of 8 runs, split by the shares of 8 profiled runs/)
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
