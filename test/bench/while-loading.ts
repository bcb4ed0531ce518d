/**
 * How much slower does a resource answer while it loads a large model? A small network is asked for by one client, one request
 * after another, alone and while a model of 100,000 nodes is loaded, in turns; the model is unloaded in between.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { encode, model, node, value } from '../onnx/support/build.ts'
import { nearestRank } from '../support/nearest-rank.ts'
import { type Benchmark, figure, type Result } from './bench.ts'
import { startThisMachine } from './this-machine.ts'

const NODES = 100_000
const TURNS = 5
/** Requests alone, for each turn: about as many as there are beside a load. */
const ALONE = 400
const MOST_RATIO = 2

export const whileLoading: Benchmark = {
  name: 'while-loading',
  title: 'Serving while a model of 100,000 nodes is loaded',
  run,
}

const long = () =>
  encode(
    model({
      inputs: [value('t0', [4])],
      outputs: [value(`t${NODES}`, [4])],
      nodes: Array.from({ length: NODES }, (_, step) =>
        node('Neg', [`t${step}`], [`t${step + 1}`], {}, { name: `n${step}` }),
      ),
    }),
  )
const small = () =>
  encode(
    model({
      inputs: [value('x', [1, 1024])],
      outputs: [value('y', [1, 1024])],
      nodes: [node('Relu', ['x'], ['y'])],
    }),
  )

async function run(say: (text: string) => void): Promise<Result> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const system = await startThisMachine(folder)
  try {
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    for (const [name, bytes] of Object.entries({ long: long(), small: small() })) {
      const file = path.join(folder, `${name}.onnx`)
      writeFileSync(file, bytes)
      await benchmark.uploadModel(file, name)
    }
    const url = system.resources[0]?.url ?? ''
    const client = createInferenceClient('device', url)
    const inputs = () => makeInputs([{ name: 'x', datatype: 'FP32', shape: [1, 1024], bytes: 4096 }], 1)
    const ask = async () => {
      const startedAt = performance.now()
      await client.infer('small', inputs())
      return performance.now() - startedAt
    }
    for (let warm = 0; warm < 200; warm += 1) await ask()
    const alone: number[] = []
    const beside: number[] = []
    const loads: number[] = []
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (let request = 0; request < ALONE; request += 1) alone.push(await ask())
      const startedAt = performance.now()
      const loaded = new AbortController()
      const loading = repository(url, 'load').finally(() => loaded.abort())
      while (!loaded.signal.aborted) beside.push(await ask())
      await loading
      loads.push(performance.now() - startedAt)
      await repository(url, 'unload')
      say(
        `turn ${turn + 1} of ${TURNS}: ${alone.length} requests alone, ${beside.length} while it was loaded`,
      )
    }
    return resultOf(alone, beside, loads)
  } finally {
    await system.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function repository(url: string, what: 'load' | 'unload'): Promise<void> {
  const answer = await fetch(`${url}/v2/repository/models/long/${what}`, { method: 'POST' })
  if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`)
}

function resultOf(alone: number[], beside: number[], loads: number[]): Result {
  const ratio = (q: number) => nearestRank(beside, q) / nearestRank(alone, q)
  const against = (q: number) => ({ name: 'alone, ms', value: nearestRank(alone, q) })
  const figures = [
    figure(
      '99th percentile: while loading, to alone',
      ratio(0.99),
      'times',
      'lower',
      MOST_RATIO,
      against(0.99),
    ),
    figure('median: while loading, to alone', ratio(0.5), 'times', 'lower', null, against(0.5)),
    figure('longest answer while loading', Math.max(...beside), 'ms', 'lower', null, against(1)),
    figure('a load, median', nearestRank(loads, 0.5), 'ms', 'lower', null),
  ]
  return { figures, raw: { alone, beside, loads } }
}
