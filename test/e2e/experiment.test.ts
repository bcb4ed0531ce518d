/** `scission experiment` from a shell: measured, interrupted, resumed, and nothing of it left in the system. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { VERSION } from '../../shared/platform/version.ts'
import { encode, model, node, value } from '../onnx/support/build.ts'
import { eventually } from '../support/eventually.ts'
import {
  endOf,
  type ExperimentSystem,
  linesIn,
  readResult,
  rowsIn,
  said,
  startExperimentSystem,
} from '../support/experiment-system.ts'
import type { TestSystem } from '../support/system.ts'

let experiments: ExperimentSystem
let system: TestSystem
beforeAll(async () => {
  experiments = await startExperimentSystem()
  system = experiments.system
})
afterAll(() => system?.close())
const run = (...args: string[]) => experiments.run(...args)
const describedIn = (name: string, more?: object) => experiments.describedIn(name, more)

it('every request has a row with what was measured and predicted; what was deployed is taken down', async () => {
  const { file, output } = describedIn('whole')
  const { code, stdout, stderr } = await run('experiment', file)
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(/net +on-device +3 [^]*net +split +3 [^]*6 requests in .*whole/)
  const rows = rowsIn(output)
  expect(rows).toHaveLength(6)
  for (const row of rows) {
    expect(row.totalMs).toBeLessThanOrEqual(row.latencyMs)
    expect(row.inside).toBe(row.latencyMs >= row.lowMs && row.latencyMs <= row.highMs)
    expect(row.predictedMs).toBeGreaterThan(0)
  }
  const split = rows.find(({ query }) => query === 'split')
  expect(split?.hops.map(({ resource }) => resource)).toEqual(['device', 'edge'])
  expect(split?.cuts).toHaveLength(1)
  expect(split?.hops[0]?.transferMs).toBeGreaterThan(0)
  expect(readResult(output, 'experiment.json')).toMatchObject({
    complete: true,
    seed: 1,
    models: [{ name: 'net' }],
    plans: [{ query: 'on-device' }, { query: 'split', plan: split?.plan }],
    runs: [
      {
        versions: { node: process.version, planner: VERSION, machines: { edge: VERSION } },
        machines: [{ alive: true }, {}, {}],
      },
    ],
  })
  expect(await experiments.planner.deployments()).toEqual([])
})

it('a model that is a file is uploaded and measured first, and only then', async () => {
  const nodes = [node('Relu', ['x'], ['a']), node('Tanh', ['a'], ['y'])]
  const bytes = encode(model({ nodes, inputs: [value('x', [1, 4])], outputs: [value('y', [1, 4])] }))
  const measured = path.join(system.folder, 'never measured.onnx')
  writeFileSync(measured, bytes)
  const { file, output } = describedIn('of-a-file', { models: [measured, 'net'] })
  const { code, stderr } = await run('experiment', file)
  expect(code, stderr).toBe(0)
  for (const machine of ['device', 'edge', 'cloud'])
    expect(stderr).toMatch(new RegExp(`^ +${machine}: `, 'm'))
  expect(rowsIn(output).filter((row) => row.model === measured)).toHaveLength(6)
  expect(readResult(output, 'experiment.json')).toMatchObject({
    models: [{ name: 'never-measured' }, { name: 'net' }],
  })
})

it('a model that is no file, and one that cannot be read, is named with its field', async () => {
  const lost = describedIn('lost', { models: ['net', 'nowhere.onnx'] })
  expect(await run('experiment', lost.file)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/models\[1\]: nowhere\.onnx: there is no such file/),
  })
  const unknown = describedIn('unknown', { models: ['nett'] })
  expect(await run('experiment', unknown.file)).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/models\[0\]: .*nett/),
  })
})

it('an interrupted one keeps what it measured, and goes on where it was', async () => {
  const { file, output } = describedIn('long', { repetitions: 12, pauseMs: 150 })
  const child = experiments.begin('experiment', file)
  const ended = endOf(child)
  await eventually(async () => expect(linesIn(output)).toBeGreaterThan(2))
  child.kill('SIGINT')
  expect((await ended)[0]).toBe(1)
  const kept = rowsIn(output)
  expect(kept.length).toBeLessThan(24)
  expect(readResult(output, 'experiment.json')).toMatchObject({ complete: false })
  expect(await experiments.planner.deployments()).toEqual([])

  expect((await run('experiment', file)).stderr).toContain('--resume goes on')
  const { code, stderr } = await run('experiment', file, '--resume')
  expect(code, stderr).toBe(0)
  const rows = rowsIn(output)
  expect(rows.slice(0, kept.length)).toEqual(kept)
  expect(new Set(rows.map(({ query, repetition }) => `${query} ${repetition}`)).size).toBe(24)
  expect(readResult(output, 'experiment.json')).toMatchObject({
    complete: true,
    runs: [{}, {}],
  })
})

it('a long pause does not keep it from ending', async () => {
  const { file, output } = describedIn('pausing', { pauseMs: 600_000 })
  const child = experiments.begin('experiment', file)
  const ended = endOf(child)
  await said(child, 'warming up')
  await new Promise((resolve) => setTimeout(resolve, 300))
  child.kill('SIGHUP')
  expect((await ended)[0]).toBe(1)
  expect(readResult(output, 'experiment.json')).toMatchObject({ complete: false })
  expect(await experiments.planner.deployments()).toEqual([])
})

it('is not resumed once the name stands for another model', async () => {
  const upload = (operator: string) => {
    const nodes = [node(operator, ['x'], ['y'])]
    const bytes = encode(model({ nodes, inputs: [value('x', [1, 4])], outputs: [value('y', [1, 4])] }))
    return fetch(`${system.benchmarkUrl}/v1/models?name=moving`, {
      method: 'POST',
      body: new Uint8Array(bytes),
    })
  }
  await upload('Relu')
  expect((await run('bench', 'moving', '--runs', '3')).code).toBe(0)
  const { file } = describedIn('moving', { models: ['moving'], queries: [{ label: 'a' }], repetitions: 1 })
  expect((await run('experiment', file)).code).toBe(0)
  await upload('Tanh')
  const { code, stderr } = await run('experiment', file, '--resume')
  expect([code, stderr]).toEqual([1, expect.stringMatching(/models\[0\]: moving is another model/)])
})

it('what is wrong is named with its field', async () => {
  const wrong = describedIn('wrong', { queries: [{ label: 'a', deploy: 'native:nowhere' }] })
  const { code, stderr } = await run('experiment', wrong.file)
  expect([code, stderr]).toEqual([3, expect.stringMatching(/queries\[0\]: deploy: .*native:cloud/)])
  const unread = describedIn('unread', { repetitions: 'many' })
  expect((await run('experiment', unread.file)).stderr).toMatch(/unread\.json: repetitions: /)
  expect(JSON.parse((await run('experiment', '--schema')).stdout)).toMatchObject({ type: 'object' })
})

it('a machine that is lost in the middle ends it; what was measured is kept', async () => {
  const { file, output } = describedIn('lost-machine', { repetitions: 1000, pauseMs: 50 })
  const child = run('experiment', file)
  await eventually(async () => expect(existsSync(path.join(output, 'rows.jsonl'))).toBe(true))
  const edge = system.resources.find(({ name }) => name === 'edge')
  process.kill(edge?.pid ?? 0, 'SIGKILL')
  const { code, stderr } = await child
  expect(code, stderr).not.toBe(0)
  expect(stderr).toMatch(/edge[^]*\d+ requests are kept in .*lost-machine; --resume goes on/)
  const rows = rowsIn(output)
  expect(rows.length).toBeGreaterThan(0)
  expect(readResult(output, 'experiment.json')).toMatchObject({
    complete: false,
    error: expect.stringContaining('edge'),
  })
  expect(readFileSync(path.join(output, 'rows.csv'), 'utf8').trimEnd().split('\r\n')).toHaveLength(
    rows.length + 1,
  )
})
