/**
 * Triton's perf_analyzer against the inference service, in JSON and in binary form: the one that SCISSION_TEST_PERF_ANALYZER
 * names, the one that install-clients.sh installed, or that of the path. Without one that starts, the tests are skipped and say
 * why. It refuses scalars by itself ("unable to set shape for the input").
 */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import type { TensorSpec } from '../../shared/contracts/common.ts'
import {
  branchedModel,
  everyTypeModel,
  singleLayerModel,
  type ToyModel,
  toySpec,
} from '../inference/support/toy-models.ts'
import { deploymentOf, withToyServices } from '../inference/support/toy-services.ts'
import { hop } from '../support/fixtures.ts'
import { CLIENTS } from '../support/material.ts'

const installed = path.join(CLIENTS.path, 'perf_analyzer')
const command =
  process.env['SCISSION_TEST_PERF_ANALYZER'] ?? (existsSync(installed) ? installed : 'perf_analyzer')
const tried = spawnSync(command, ['--version'], { encoding: 'utf8' })
const answers = /perf.?analyzer/i.test(`${tried.stdout}${tried.stderr}`) && tried.status === 0
const why = tried.error?.message ?? tried.stderr.trim().split('\n')[0]
if (!answers) process.stdout.write(`skipped: ${command} does not start: ${why}\n`)

const branched = branchedModel('a')
const same = (id: string, name: string, input: TensorSpec) => singleLayerModel(id, name, input, (x) => x)
/** Its JSON holds only the elements of one row of the first axis, which it takes for the batch (also in 2.60). */
const ONE_ROW = [
  same('c', 'matrix', toySpec('x', 'FP32', [1, 4])),
  same('d', 'words', toySpec('x', 'BYTES', [1, 3])),
  same('e', 'long', toySpec('x', 'INT64', [1, 2])),
  same('f', 'doubles', toySpec('x', 'FP64', [1, 2])),
  same('1', 'flags', toySpec('x', 'BOOL', [1, 5])),
  same('2', 'bytes', toySpec('x', 'UINT8', [1, 5])),
]
/** FP16 has no JSON form. */
const ONLY_BINARY = [everyTypeModel('b'), same('3', 'half', toySpec('x', 'FP16', [1, 2]))]

describe.skipIf(!answers)('perf_analyzer', () => {
  const services = withToyServices([branched, ...ONE_ROW, ...ONLY_BINARY])
  beforeAll(async () => {
    await services.start('device')
    await services.start('edge')
    await services.deploy(deploymentOf(branched, 'split', [hop('device', 0, 2), hop('edge', 2, 3)]))
  })

  const nameOf = ({ model }: ToyModel) => model.name
  const cases = [
    ...ONE_ROW.flatMap((toy) => [
      [nameOf(toy), 'json'],
      [nameOf(toy), 'binary'],
    ]),
    ...[...ONLY_BINARY.map(nameOf), 'branched', 'branched:0-2', 'split'].map((name) => [name, 'binary']),
  ]
  const OWN_OPTIONS: Record<string, string[]> = {
    // Its random bytes are no booleans, and it leaves such elements out of JSON.
    flags: ['--input-data', 'zero'],
  }

  /** Few requests, and no long wait until the figures are steady: other tests run beside this one. */
  const BRIEF = [
    '--measurement-mode',
    'count_windows',
    '--measurement-request-count',
    '20',
    '-s',
    '999',
    '-r',
    '10',
  ]

  it.each(cases)('measures %s in %s', { timeout: 120_000 }, async (name = '', form = '') => {
    const target = ['-m', name, '-i', 'http', '-u', new URL(services.urlOf('device')).host]
    const forms = ['--input-tensor-format', form, '--output-tensor-format', form]
    const ended = promisify(execFile)(command, [...target, ...forms, ...BRIEF, ...(OWN_OPTIONS[name] ?? [])])
    const { stdout, stderr } = await ended.catch((error: { stdout: string; stderr: string }) => error)
    expect(stdout + stderr).toMatch(/Concurrency: 1, throughput: [\d.]+ infer\/sec/)
    expect(stdout + stderr).not.toMatch(/error|failed/i)
  })
})
