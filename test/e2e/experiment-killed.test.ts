/** `scission experiment` that is killed, signalled, or begun twice: nothing of it stays, and rows are those of one process. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { SCISSION } from '../support/command.ts'
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

let experiments: ExperimentSystem
beforeAll(async () => (experiments = await startExperimentSystem()))
afterAll(() => experiments?.system.close())

const deployed = async () => (await experiments.planner.deployments()).map(({ id }) => id).sort()
/** On a busy machine a command needs seconds for its start. */
const LONG = { repetitions: 12, pauseMs: 200 }
/** Waits before its first request until the test ends it. */
const WAITING = { repetitions: 12, pauseMs: 600_000 }

/** Every request once, and nothing beside the results. */
function expectWhole(output: string): void {
  const rows = rowsIn(output)
  expect(rows).toHaveLength(24)
  expect(new Set(rows.map(({ query, repetition }) => `${query} ${repetition}`)).size).toBe(24)
  expect(readResult(output, 'experiment.json')).toMatchObject({ complete: true })
  for (const name of ['experiment.lock', 'deployments.json'])
    expect(existsSync(path.join(output, name)), name).toBe(false)
}

/** An experiment that was killed in the middle. @returns the names of its deployments. */
async function killed(file: string, output: string): Promise<string[]> {
  const child = experiments.begin('experiment', file)
  const ended = endOf(child)
  await eventually(() => expect(linesIn(output)).toBeGreaterThan(2))
  child.kill('SIGKILL')
  expect(await ended).toEqual([null, 'SIGKILL'])
  expect(linesIn(output)).toBeLessThan(24)
  return (readResult(output, 'deployments.json') as { name: string }[]).map(({ name }) => name).sort()
}

it('one that was killed has its deployments on record, and --resume takes down those and no other', async () => {
  const { file, output } = experiments.describedIn('killed', LONG)
  const left = await killed(file, output)
  expect(left).toHaveLength(2)
  expect(await deployed()).toEqual(left)
  const { planId } = await experiments.planner.deployment(left[0]!)
  await experiments.planner.deploy({ plan: planId, name: 'experiment-of-others' })

  const { code, stderr } = await experiments.run('experiment', file, '--resume')
  expect(code, stderr).toBe(0)
  for (const name of left) expect(stderr).toContain(`${name}, which an earlier run left, is taken down`)
  expect(stderr).toMatch(/process \d+ on \S+ is gone, and its lock of .*killed is taken over/)
  expectWhole(output)
  expect(await deployed()).toEqual(['experiment-of-others'])
  await experiments.planner.undeploy('experiment-of-others')
})

it('one that was killed while it deployed leaves nothing either', async () => {
  const { file, output } = experiments.describedIn('deploying', LONG)
  const child = experiments.begin('experiment', file)
  const ended = endOf(child)
  await eventually(async () => expect(await deployed()).not.toEqual([]))
  child.kill('SIGKILL')
  await ended
  expect(linesIn(output)).toBe(0)
  const { code, stderr } = await experiments.run('experiment', file, '--resume')
  expect(code, stderr).toBe(0)
  expect(stderr).toContain('is taken down')
  expectWhole(output)
  expect(await deployed()).toEqual([])
})

it('a deployment that others made under the name of one that was left stays', async () => {
  const { file, output } = experiments.describedIn('renewed', LONG)
  const [theirs, own] = await killed(file, output)
  const { planId } = await experiments.planner.deployment(theirs!)
  await experiments.planner.undeploy(theirs!)
  const { createdAt } = await experiments.planner.deploy({ plan: planId, name: theirs! })

  const { code, stderr } = await experiments.run('experiment', file, '--resume')
  expect(code, stderr).toBe(0)
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
    `${theirs}, which an earlier run left, is gone; another deployment has its name now, and is left alone`,
  )
  expect(stderr).toContain(`${own}, which an earlier run left, is taken down`)
  expect(await experiments.planner.deployment(theirs!)).toMatchObject({ createdAt })
  expect(await deployed()).toEqual([theirs])
  await experiments.planner.undeploy(theirs!)
})

it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s takes down what is deployed, also if npm passes it on once more',
  async (signal) => {
    const { file, output } = experiments.describedIn(`stopped-by-${signal}`, LONG)
    const child = experiments.begin('experiment', file)
    const ended = endOf(child)
    await eventually(() => expect(linesIn(output)).toBeGreaterThan(2))
    child.kill(signal)
    child.kill(signal)
    expect(await ended).toEqual([1, null])
    expect(await deployed()).toEqual([])
    expect(existsSync(path.join(output, 'experiment.lock'))).toBe(false)
    expect(readResult(output, 'experiment.json')).toMatchObject({ complete: false })
  },
)

it('a signal ends the wait for a deployment, which is taken down', async () => {
  const { file, output } = experiments.describedIn('stopped-deploying', LONG)
  const child = experiments.begin('experiment', file)
  const ended = endOf(child)
  await said(child, 'deploying on-device')
  child.kill('SIGTERM')
  expect(await ended).toEqual([1, null])
  expect([await deployed(), linesIn(output)]).toEqual([[], 0])
})

it('ends in order when the shell of npm is gone', async () => {
  const { file, output } = experiments.describedIn('orphaned', { ...LONG, repetitions: 1000 })
  const shell = spawn('sh', ['-c', '"$0" "$@"; true', process.execPath, SCISSION, 'experiment', file], {
    env: { ...experiments.env(), npm_lifecycle_event: 'npx' },
    stdio: 'ignore',
  })
  await eventually(() => expect(linesIn(output)).toBeGreaterThan(2))
  shell.kill('SIGKILL')
  await eventually(() => expect(existsSync(path.join(output, 'experiment.lock'))).toBe(false))
  expect(await deployed()).toEqual([])
  expect(readResult(output, 'experiment.json')).toMatchObject({ complete: false })
})

it('a second one on the folder is refused, and told of the process that works there', async () => {
  const { file, output } = experiments.describedIn('twice', WAITING)
  const first = experiments.begin('experiment', file)
  const ended = endOf(first)
  first.stderr?.resume()
  await eventually(async () => expect(await deployed()).toHaveLength(2))
  for (const more of [[], ['--resume']]) {
    const { code, stderr } = await experiments.run('experiment', file, ...more)
    expect([code, stderr.replaceAll(/\s+/g, ' ')]).toEqual([
      2,
      expect.stringMatching(new RegExp(`twice is in use by process ${first.pid} on .*another folder`)),
    ])
  }
  const json = await experiments.run('--json', 'experiment', file, '--resume')
  expect(json.code).toBe(2)
  expect(JSON.parse(json.stderr)).toMatchObject({
    error: { code: 'badRequest', exitCode: 2, details: { folder: output, pid: first.pid } },
  })
  first.kill('SIGINT')
  expect(await ended).toEqual([1, null])
  expect([rowsIn(output), await deployed()]).toEqual([[], []])
})

it('of two that begin at once, one has the folder', async () => {
  const { file, output } = experiments.describedIn('at-once', LONG)
  const both = await Promise.all([0, 1].map(() => experiments.run('experiment', file)))
  expect(new Set(both.map(({ code }) => code))).toEqual(new Set([0, 2]))
  expectWhole(output)
})

it('of two that resume a killed one at once, one has the folder', async () => {
  const { file, output } = experiments.describedIn('resumed-at-once', LONG)
  await killed(file, output)
  const before = readFileSync(path.join(output, 'rows.jsonl'), 'utf8')
  const both = await Promise.all([0, 1].map(() => experiments.run('experiment', file, '--resume')))
  expect(new Set(both.map(({ code }) => code))).toEqual(new Set([0, 2]))
  expectWhole(output)
  expect(readFileSync(path.join(output, 'rows.jsonl'), 'utf8').startsWith(before)).toBe(true)
  expect(await deployed()).toEqual([])
})
