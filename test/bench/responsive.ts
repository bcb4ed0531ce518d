/**
 * Does the inference service answer while a model runs? ResNet50 runs back to back; `/v2/health/live` is asked every
 * few milliseconds; the 99th percentile of its answers is held beside that of a server that runs the model in-thread.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from '../../infra/start/processes/process.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createLog } from '../../shared/platform/log.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { type Benchmark, figure, type Result } from './bench.ts'
import { startThisMachine } from './this-machine.ts'

const PROBES = 400
const PAUSE_MS = 5
const FLOOR_MS = 25

export const responsive: Benchmark = {
  name: 'responsive',
  title: 'Event loop of the inference service while ResNet50 runs back to back',
  run,
}

async function run(say: (text: string) => void): Promise<Result> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  try {
    const model = path.join(folder, 'resnet50.onnx')
    await buildZooModel('resnet50', model)
    say('our service')
    const ours = await measureOurs(folder, model)
    say('a server that runs the model in-thread')
    const naive = await measureNaive(model)
    const p99 = figure('live, 99th percentile', nearestRank(ours.probesMs, 0.99), 'ms', 'lower', FLOOR_MS, {
      name: 'in-thread',
      value: nearestRank(naive, 0.99),
    })
    const median = figure('live, median', nearestRank(ours.probesMs, 0.5), 'ms', 'lower', null, {
      name: 'in-thread',
      value: nearestRank(naive, 0.5),
    })
    const runs = figure('model runs meanwhile', ours.runs, 'runs', 'higher', null)
    return { figures: [p99, median, runs], raw: { ours, naive } }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function measureOurs(folder: string, model: string): Promise<{ probesMs: number[]; runs: number }> {
  const system = await startThisMachine(folder)
  try {
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    const { id } = await benchmark.uploadModel(model, 'resnet50')
    const inputs = makeInputs((await benchmark.structure(id)).inputs, 1)
    const url = system.resources[0]?.url ?? ''
    const client = createInferenceClient('device', url)
    await client.infer(id, inputs)
    let runs = 0
    const stop = new AbortController()
    const loop = async () => {
      while (!stop.signal.aborted) {
        await client.infer(id, inputs)
        runs += 1
      }
    }
    // Two at once, so that the executor always has the next one waiting.
    const loops = [loop(), loop()]
    const probesMs = await probe(url)
    stop.abort()
    await Promise.all(loops)
    return { probesMs, runs }
  } finally {
    await system.close()
  }
}

async function measureNaive(model: string): Promise<number[]> {
  const server = await startProcess({
    name: 'naive',
    entry: new URL('./naive-server.ts', import.meta.url),
    args: [model],
    log: createLog('bench', 'error'),
  })
  try {
    return await probe(server.url)
  } finally {
    await server.stop()
  }
}

async function probe(url: string): Promise<number[]> {
  const samples: number[] = []
  for (let i = 0; i < PROBES; i++) {
    const start = performance.now()
    const response = await fetch(`${url}/v2/health/live`)
    await response.arrayBuffer()
    samples.push(performance.now() - start)
    await sleep(PAUSE_MS)
  }
  return samples
}
