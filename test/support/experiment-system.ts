/** A system with a measured model, and experiments on it from a shell. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import type { ExperimentRow } from '../../shared/contracts/experiment.ts'
import { encode, model, node, value } from '../onnx/support/build.ts'
import { runNode, SCISSION } from './command.ts'
import { eventually } from './eventually.ts'
import { NO_RESTARTS, startTestSystem } from './system.ts'

const QUERIES = [
  { label: 'on-device', deploy: 'native:device' },
  { label: 'split', query: { minStages: 2, mustUseTiers: ['device', 'edge'] } },
]

/** The model is `net`, of three layers. */
export async function startExperimentSystem() {
  const system = await startTestSystem({ restarts: NO_RESTARTS })
  const env = () => ({
    ...process.env,
    NO_COLOR: '1',
    SCISSION_BENCHMARK_URL: system.benchmarkUrl,
    SCISSION_PLANNER_URL: system.plannerUrl,
  })
  const run = (...args: string[]) => runNode([SCISSION, ...args], { env: env() })
  const planner: PlannerClient = createPlannerClient(system.plannerUrl)
  const file = path.join(system.folder, 'net.onnx')
  const nodes = ['x', 'a', 'b'].map((name, at) => node('Relu', [name], [['a', 'b', 'y'][at]!]))
  writeFileSync(file, encode(model({ nodes, inputs: [value('x', [1, 4])], outputs: [value('y', [1, 4])] })))
  for (const args of [
    ['models', 'add', file],
    ['bench', 'net', '--runs', '3'],
  ]) {
    const { code, stderr } = await run(...args)
    expect(code, stderr).toBe(0)
  }
  return {
    system,
    planner,
    env,
    run,
    /** Runs on, in a process of its own, which the test signals. */
    begin: (...args: string[]): ChildProcess =>
      spawn(process.execPath, [SCISSION, ...args], { env: env(), stdio: ['ignore', 'ignore', 'pipe'] }),
    /** The file of an experiment and the folder of its results. */
    describedIn: (name: string, more: object = {}) => {
      const output = path.join(system.folder, name)
      const content = { models: ['net'], queries: QUERIES, repetitions: 3, output, ...more }
      writeFileSync(`${output}.json`, JSON.stringify(content))
      return { file: `${output}.json`, output }
    },
  }
}
export type ExperimentSystem = Awaited<ReturnType<typeof startExperimentSystem>>

/** [exit code, signal] of a process that is running. */
export const endOf = (child: ChildProcess) =>
  once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>

/** Waits until its standard error says this. */
export async function said(child: ChildProcess, text: string): Promise<void> {
  let all = ''
  child.stderr?.on('data', (more) => (all += String(more)))
  await eventually(() => expect(all).toContain(text))
}

export const readResult = (output: string, name: string): unknown =>
  JSON.parse(readFileSync(path.join(output, name), 'utf8'))
export const rowsIn = (output: string) => readResult(output, 'rows.json') as ExperimentRow[]

/** Requests on record so far. */
export function linesIn(output: string): number {
  const file = path.join(output, 'rows.jsonl')
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0
}
