/** What it costs that a stage runs in a process: one network on a shared thread, a thread of its own and in a process, in turns. */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Executor, type LoadedStage, type Place } from '../../services/inference/serving/executor/executor.ts'
import { median } from '../../shared/platform/statistics.ts'
import { fp32, manifestOf, spec, type TinyModel, writeModel } from '../inference/tiny-models.ts'
import { type Benchmark, type Figure, figure, type Result } from './bench.ts'

const SIZES = { '4 KiB': 1024, '1 MB': 262_144 }
const PLACES: readonly Place[] = ['shared threads', 'threads of its own', 'processes']
const WARM = 100
const ROUNDS = 600

export const processHop: Benchmark = {
  name: 'process-hop',
  title: 'A run in a process, to one on a thread',
  run,
}

async function run(say: (text: string) => void): Promise<Result> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const executor = new Executor({ executors: 1, queueLimit: 8 })
  try {
    const figures: Figure[] = []
    const raw: Record<string, number[][]> = {}
    for (const [size, elements] of Object.entries(SIZES)) {
      const stages = await load(executor, path.join(folder, `${elements}.onnx`), elements)
      const times = await measure(executor, stages, elements)
      figures.push(...figuresOf(size, times))
      raw[size] = times
      say(size)
    }
    return { figures, raw }
  } finally {
    await executor.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function load(executor: Executor, file: string, elements: number): Promise<LoadedStage[]> {
  const model: TinyModel = {
    inputs: [spec('x', 'FP32', [elements])],
    outputs: [spec('y', 'FP32', [elements])],
    nodes: [{ op: 'Relu', inputs: ['x'], outputs: ['y'] }],
  }
  writeModel(file, model)
  const options = { threads: 1, optimisation: 'all' } as const
  const source = { path: file, manifest: manifestOf(model), options }
  return Promise.all(PLACES.map((place) => executor.load(`${file} ${place}`, { ...source, place })))
}

/** @returns ms by place and round. */
async function measure(
  executor: Executor,
  stages: readonly LoadedStage[],
  elements: number,
): Promise<number[][]> {
  const times: number[][] = stages.map(() => [])
  for (let round = -WARM; round < ROUNDS; round += 1)
    for (const [place, stage] of stages.entries()) {
      const input = fp32('x', [elements], new Float32Array(elements))
      const startedAt = performance.now()
      await executor.run(stage, [input])
      if (round >= 0) times[place]?.push(performance.now() - startedAt)
    }
  return times
}

function figuresOf(size: string, [shared = [], ...others]: number[][]): Figure[] {
  return others.flatMap((times, place) => {
    const ratios = times.map((ms, round) => ms / (shared[round] ?? Number.NaN))
    const alone = { name: 'shared thread, ms', value: median(shared) }
    return [
      figure(
        `${size}, ${PLACES[place + 1]}: to a shared thread`,
        median(ratios),
        'times',
        'lower',
        null,
        alone,
      ),
    ]
  })
}
