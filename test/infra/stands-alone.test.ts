/**
 * The suite stands alone: a copy of the repository with nothing beside it, and so without third-party material, still has
 * a test for all that is essential.
 *
 * This proves that every test file loads there; no file is left without a test that would run, but for those that need
 * a tool of the machine; the suites that use models and measurements list tests that would run on our own, of every kind
 * of model; and nothing is skipped for want of material outside the suites named here. What it does not prove: that these
 * tests pass, and that none looks for material while it runs. That takes a whole run in a clone, which
 * costs minutes; this costs seconds.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeArguments } from '../../infra/start/processes/entry.ts'
import { MATERIAL } from '../support/material.ts'
import { own } from '../support/test-models.ts'
import type { Collected, CollectedTest } from './entries/collect.ts'
import { runNode } from '../support/command.ts'

/** A working folder has these, a clone has not. */
const NOT_CLONED = ['.git', 'node_modules', 'dist', '.scission', 'coverage']

/** Suites with tests that need third-party material: there these are skipped, and the others run. */
const SKIP_FOR_MATERIAL = [
  'test/benchmark/models/ranges.test.ts',
  'test/benchmark/models/upload.test.ts',
  'test/benchmark/original.test.ts',
  'test/cases/cases.test.ts',
  'test/e2e/plans.test.ts',
  'test/e2e/start.test.ts',
  'test/inference/jobs/calibrations/service.test.ts',
  'test/inference/jobs/profiler/profile.test.ts',
  'test/inference/split.test.ts',
  'test/onnx/analyse-child.test.ts',
  'test/onnx/bad-input.test.ts',
  'test/onnx/fuzz.test.ts',
  'test/onnx/real-models.test.ts',
  'test/onnx/zoo-models.test.ts',
  'test/original/import.test.ts',
  'test/original/predict.test.ts',
  'test/zoo/keras.test.ts',
]

/** They may be skipped for want of a tool (a Redis server, a Chromium, Docker, foreign clients, open files, shells and their tools, NumPy, a terminal, machines of namespaces) or of Linux. */
const SKIP_FOR_TOOLS = [
  'test/access/import-quotas.test.ts',
  'test/benchmark/fair-analyses.test.ts',
  'test/e2e/lost-memory.test.ts',
  'test/faults/foreign-messages.test.ts',
  'test/e2e/older-redis.test.ts',
  'test/e2e/restarts.test.ts',
  'test/redis/older-data.test.ts',
  'test/redis/redis-age.test.ts',
  'test/inference/links/wrong-machines.test.ts',
  'test/planner/links/overridden-links.test.ts',
  'test/inference/clocks.test.ts',
  'test/inference/executor/stage-processes.test.ts',
  'test/inference/jobs/refused-ends.test.ts',
  'test/inference/runaway.test.ts',
  'test/inference/one-name.test.ts',
  'test/planner/read-your-writes.test.ts',
  'test/redis/refuses-writes.test.ts',
  'test/redis/revision.test.ts',
  'test/benchmark/benchmarks/restart.test.ts',
  'test/benchmark/models/incoming.test.ts',
  'test/cli/completion.test.ts',
  'test/codec/foreign-client.test.ts',
  'test/codec/zstandard.test.ts',
  'test/conformance/bad-senders.test.ts',
  'test/conformance/foreign/clients.test.ts',
  'test/conformance/foreign/generated-calls.test.ts',
  'test/conformance/perf-analyzer.test.ts',
  'test/docs/pages.test.ts',
  'test/e2e/docs-in-a-browser.test.ts',
  'test/infra/docker.test.ts',
  'test/infra/processes/processes.test.ts',
  'test/infra/systemd.test.ts',
  'test/machines/own-machines.test.ts',
  'test/oip/triton-client.test.ts',
  'test/onnx/analyse-child.test.ts',
  'test/shared/limited-child.test.ts',
  'test/redis/changes.test.ts',
  'test/redis/collection.test.ts',
  'test/redis/open-redis.test.ts',
  'test/redis/password-changed.test.ts',
  'test/redis/queue-contract.test.ts',
  'test/redis/secured.test.ts',
  'test/redis/senseless-records.test.ts',
  'test/tensors/write-numpy.test.ts',
  'test/terminal/in-a-terminal.test.ts',
]

let folder: string
let files: Collected[]

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'scission-alone-'))
  const copy = path.join(folder, 'scission')
  for (const name of readdirSync('.').filter((entry) => !NOT_CLONED.includes(entry)))
    cpSync(name, path.join(copy, name), { recursive: true })
  symlinkSync(path.resolve('node_modules'), path.join(copy, 'node_modules'))
  const found = path.join(folder, 'found.json')
  const script = nodeArguments(new URL('entries/collect.ts', import.meta.url))
  const outer = { VITEST: undefined, VITEST_WORKER_ID: undefined, VITEST_POOL_ID: undefined }
  const material = {
    SCISSION_TEST_MODELS: undefined,
    SCISSION_TEST_CASES: undefined,
    SCISSION_TEST_NETLAB: undefined,
  }
  const env = { ...process.env, ...material, ...outer }
  const { stdout, stderr } = await runNode([...script, found], { cwd: copy, env })
  // A file that does not load is an exit code of 1: it is said below which.
  expect(existsSync(found), stdout + stderr).toBe(true)
  const collected = JSON.parse(readFileSync(found, 'utf8')) as { files: Collected[]; unhandled: string[] }
  expect(collected.unhandled).toEqual([])
  files = collected.files
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const isSkipped = ({ mode }: CollectedTest) => mode !== 'run'
/** The clients of other projects are no material but tools: their files have no test without them. */
const FOREIGN = 'foreign-clients'
const needsMaterial = ({ tags }: CollectedTest) =>
  MATERIAL.some(({ tag }) => tag !== FOREIGN && tags.includes(tag))
const testsOf = (file: string) => files.find((one) => one.file === file)?.tests ?? []
const runnable = (file: string) => testsOf(file).flatMap((test) => (isSkipped(test) ? [] : [test.name]))
const filesWith = (which: (test: CollectedTest) => boolean) =>
  files.flatMap(({ file, tests }) => (tests.some(which) ? [file] : [])).sort()

describe('a repository with nothing beside it', () => {
  it('has test files that all load', () => {
    expect(files.filter(({ errors }) => errors.length > 0)).toEqual([])
    expect(files.length).toBeGreaterThan(100)
  })

  it('skips every test that needs third-party material, in the suites named here only', () => {
    expect(filesWith((test) => needsMaterial(test) && !isSkipped(test))).toEqual([])
    expect(filesWith(needsMaterial)).toEqual(
      SKIP_FOR_MATERIAL.filter((file) => testsOf(file).some(needsMaterial)),
    )
    const others = filesWith((test) => isSkipped(test) && !needsMaterial(test))
    expect(others.filter((file) => !SKIP_FOR_TOOLS.includes(file))).toEqual([])
  })

  it('has tests that run in every file, also where some are skipped for want of material', () => {
    const idle = files.filter(({ tests }) => tests.every(isSkipped)).map(({ file }) => file)
    expect(idle.filter((file) => !SKIP_FOR_TOOLS.includes(file))).toEqual([])
    for (const file of SKIP_FOR_MATERIAL) expect(runnable(file).length, file).toBeGreaterThan(0)
  })

  it('runs every model of its own in pieces, refuses every broken file, and serves, measures and plans with some', () => {
    const pieces = runnable('test/onnx/real-models.test.ts').join('\n')
    for (const { name } of own.works) expect(pieces).toContain(`${name} > equals the whole in two pieces`)
    for (const file of ['test/onnx/bad-input.test.ts', 'test/benchmark/models/upload.test.ts'])
      for (const { name } of own.refused) expect(runnable(file).join('\n'), file).toContain(name)
    const essential: Record<string, RegExp> = {
      'test/inference/split.test.ts': /runs as a deployment over three resources/,
      'test/inference/jobs/profiler/profile.test.ts': /its layers sum to the whole/,
      'test/inference/jobs/calibrations/service.test.ts': /how much accuracy it costs/,
      'test/e2e/plans.test.ts': /a detector with two outputs/,
      'test/e2e/start.test.ts': /works with detector/,
      'test/benchmark/original.test.ts': /are imported as models, machines, profiles and links/,
      'test/original/criteria.test.ts': /list the plans that they allow/,
      'test/cases/cases.test.ts': /takes a model to the end/,
      'test/zoo/keras.test.ts': /nasnetlarge has the layers of Keras/,
    }
    for (const [file, name] of Object.entries(essential))
      expect(runnable(file).join('\n'), file).toMatch(name)
  })
})
