/**
 * Large models: how fast their structure is read, how little memory ingest takes, how fast layer ranges are written,
 * and that a model past 2 GB is taken in and a range of it runs.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { System } from '../../infra/start/system.ts'
import { uploadFiles } from '../../infra/steps/upload-model.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { runInLimitedChild } from '../../shared/platform/processes/limited-child.ts'
import { openCanonical, writeRange } from '../../shared/onnx/index.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { type Benchmark, type Figure, figure, type Result } from './bench.ts'
import { WIDTH, writeLargeModel } from './large-model.ts'
import type { ReadInput, ReadOutput } from './read-structure.ts'
import { startThisMachine } from './this-machine.ts'

const MB = 1e6
const READS = 15
const RANGE_ROUNDS = 5
const LARGE_LAYERS = 3

export const onnx: Benchmark = { name: 'onnx', title: 'Large models: structure, ingest, layer ranges', run }

async function run(say: (text: string) => void): Promise<Result> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const system = await startThisMachine(folder)
  try {
    const vgg = path.join(folder, 'vgg16.onnx')
    await buildZooModel('vgg16', vgg)
    say('structure of VGG16')
    const reading = await measureReading(vgg)
    say('ingest of VGG16')
    const ingest = await measureIngest(system, vgg)
    say('layer ranges of VGG16')
    const ranges = await measureRanges(path.join(folder, 'data', 'models', ingest.id))
    say(`a model of ${LARGE_LAYERS} GiB`)
    const large = await measureLarge(system, folder)
    return {
      figures: [...reading.figures, ...ingest.figures, ...ranges.figures, ...large.figures],
      raw: { reading: reading.raw, ingest: ingest.raw, ranges: ranges.raw, large: large.raw },
    }
  } finally {
    await system.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Part {
  figures: Figure[]
  raw: unknown
}

async function measureReading(file: string): Promise<Part> {
  const read = (reader: ReadInput['reader'], repeats: number) =>
    runInLimitedChild<ReadInput, ReadOutput>({
      module: new URL('./read-structure.ts', import.meta.url),
      input: { file, reader, repeats },
      timeoutMs: 120_000,
      memoryLimitBytes: 8e9,
      doing: `reading ${file}`,
    })
  const ours = await read('ours', READS)
  const whole = await read('whole', 3)
  const baseline = (number: number) => ({ name: 'whole file decoded', value: number })
  return {
    figures: [
      figure(
        'structure of 553 MB read',
        nearestRank(ours.ms, 0.5),
        'ms',
        'lower',
        50,
        baseline(nearestRank(whole.ms, 0.5)),
      ),
      figure(
        'memory growth of it',
        ours.rssGrowthBytes / MB,
        'MB',
        'lower',
        50,
        baseline(whole.rssGrowthBytes / MB),
      ),
    ],
    raw: { ours, whole },
  }
}

async function measureIngest(system: System, file: string): Promise<Part & { id: string }> {
  const pid = system.benchmark.pid ?? 0
  const before = residentBytes(pid, 'VmRSS')
  const start = performance.now()
  const { id } = await createBenchmarkClient(system.benchmarkUrl).uploadModel(file, 'vgg16')
  const ms = performance.now() - start
  const growth = residentBytes(pid, 'VmHWM') - before
  return {
    id,
    figures: [
      figure('ingest of VGG16, memory growth of the service', growth / MB, 'MB', 'lower', 200, {
        name: 'size of the file',
        value: 553,
      }),
      figure('ingest of VGG16, time', ms, 'ms', 'lower', null),
    ],
    raw: { ms, growth },
  }
}

/** Linux only, as the machines this benchmark is for. */
function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(match?.[1] ?? Number.NaN) * 1024
}

/** All blocks (between neighbouring single-tensor cuts), decoding of the canonical file included. */
async function measureRanges(folder: string): Promise<Part> {
  const [name = ''] = readdirSync(folder).filter((entry) => entry.endsWith('.canonical.onnx'))
  const samples: number[] = []
  let blocks = 0
  for (let round = 0; round < RANGE_ROUNDS; round++) {
    const start = performance.now()
    const canonical = await openCanonical(path.join(folder, name))
    const cuts = canonical.structure.boundaries
      .filter((boundary) => boundary.single)
      .map((boundary) => boundary.k)
    blocks = cuts.length - 1
    const starts = cuts.slice(0, -1)
    await Promise.all(
      starts.map((from, i) =>
        writeRange(canonical, from, cuts[i + 1] ?? from, path.join(folder, `bench-${i}.onnx`)),
      ),
    )
    samples.push(performance.now() - start)
  }
  return {
    figures: [
      figure('all block sub-models of VGG16 written', nearestRank(samples, 0.5), 'ms', 'lower', 50),
      figure('blocks', blocks, 'files', 'higher', null),
    ],
    raw: samples,
  }
}

async function measureLarge(system: System, folder: string): Promise<Part> {
  const bytes = await writeLargeModel(folder, LARGE_LAYERS)
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const start = performance.now()
  const { id, layers } = await uploadFiles(benchmark, path.join(folder, 'large.onnx'), { name: 'large' })
  const ingestMs = performance.now() - start
  const x = Float32Array.from({ length: WIDTH }, (_, index) => (index % 7) - 3)
  const client = createInferenceClient('device', system.resources[0]?.url ?? '')
  const input = { name: 't1', datatype: 'FP32' as const, shape: [1, WIDTH], bytes: new Uint8Array(x.buffer) }
  const middle = await client.inferRange(id, 1, 2, [input])
  const made = new Float32Array(Uint8Array.from(middle.outputs[0]?.bytes ?? []).buffer)
  // Layer 1 multiplies by 3, see large-model.ts.
  const right = made.length === WIDTH && made.every((number, index) => number === (x[index] ?? 0) * 3)
  return {
    figures: [
      figure('external data taken in', bytes / MB, 'MB', 'higher', 3000),
      figure('its middle layer runs as a range, outputs right', right ? 1 : 0, 'of 1', 'higher', 1),
      figure('its ingest', ingestMs / 1000, 's', 'lower', null),
    ],
    raw: { bytes, layers, ingestMs },
  }
}
