/**
 * How much slower does a resource answer while it is measured? ResNet50 is asked for by one client, one request after
 * another, first alone, then while a benchmark of MobileNetV2 runs on the same resource, in turns.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { type Benchmark, figure, type Result } from './bench.ts'
import { startThisMachine } from './this-machine.ts'

const TURNS = 4
const ALONE_REQUESTS = 60
/** Runs of the measured model: long enough for many requests beside it. */
const RUNS = 150
const FLOOR_PERCENT = 20

export const whileServing: Benchmark = {
  name: 'while-serving',
  title: 'Serving while the resource is measured',
  run,
}

async function run(say: (text: string) => void): Promise<Result> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const system = await startThisMachine(folder)
  try {
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    const ids: Record<string, string> = {}
    for (const name of ['resnet50', 'mobilenetv2'] as const) {
      const file = path.join(folder, `${name}.onnx`)
      await buildZooModel(name, file)
      ids[name] = (await benchmark.uploadModel(file, name)).id
    }
    const served = ids['resnet50'] ?? ''
    const client = createInferenceClient('device', system.resources[0]?.url ?? '')
    const ask = async () => {
      const inputs = makeInputs((await benchmark.structure(served)).inputs, 1)
      const startedAt = performance.now()
      await client.infer(served, inputs)
      return performance.now() - startedAt
    }
    for (let warm = 0; warm < 10; warm += 1) await ask()
    const alone: number[] = []
    const beside: number[] = []
    let notes: string[] = []
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (let request = 0; request < ALONE_REQUESTS / TURNS; request += 1) alone.push(await ask())
      const started = await benchmark.startBenchmark({
        model: ids['mobilenetv2'] ?? '',
        runs: RUNS,
        force: true,
      })
      notes = started.notes
      for (;;) {
        beside.push(await ask())
        const { state } = await benchmark.benchmark(started.id)
        if (state !== 'waiting' && state !== 'active') break
      }
      say(
        `turn ${turn + 1} of ${TURNS}: ${alone.length} requests alone, ${beside.length} beside a measurement`,
      )
    }
    return resultOf(alone, beside, notes)
  } finally {
    await system.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function resultOf(alone: number[], beside: number[], notes: string[]): Result {
  const rise = (q: number) => 100 * (nearestRank(beside, q) / nearestRank(alone, q) - 1)
  const said = notes.some((note) => note.includes('serving on'))
  const p95 = figure('serving, 95th percentile: rise', rise(0.95), '%', 'lower', FLOOR_PERCENT, {
    name: 'alone, ms',
    value: nearestRank(alone, 0.95),
  })
  const figures = [
    // Promised: less than this, or said beforehand.
    { ...p95, ok: p95.ok === true || said },
    figure('serving, median: rise', rise(0.5), '%', 'lower', null, {
      name: 'alone, ms',
      value: nearestRank(alone, 0.5),
    }),
    figure('the service said so beforehand', said ? 1 : 0, 'yes = 1', 'higher', null),
  ]
  return { figures, raw: { alone, beside, notes } }
}
