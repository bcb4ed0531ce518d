/** Refusals of the command line: in its own words, as text or JSON, and help that loads only what it prints. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PLAN_HINTS } from '../../infra/cli/commands/plan-options.ts'
import { namingOptions, optionNames } from '../../infra/cli/option-errors.ts'
import { PlanQuery } from '../../shared/contracts/plan.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { validate } from '../../shared/platform/http-server/route.ts'
import { withLoader } from '../../shared/platform/processes/child-module.ts'
import { runNode, SCISSION } from '../support/command.ts'

/** What the planner says of a query, in terms of the options. */
async function refusal(query: Record<string, unknown>): Promise<string> {
  const work = () => Promise.resolve(validate(PlanQuery, { model: 'm', ...query }, 'body'))
  return namingOptions(PLAN_HINTS, work).then(
    () => 'accepted',
    (thrown: unknown) => (thrown as Error).message,
  )
}

describe('a value that the planner refuses', () => {
  it.each([
    [{ top: 'abc' }, '--top must be a whole number from 1 to 1000, for example --top 3'],
    [
      { maxLatencyMs: 'x' },
      '--max-latency-ms must be milliseconds, more than 0, for example --max-latency-ms 50',
    ],
    [
      { maxTierMs: 'device' },
      '--max-tier-ms must be tiers with milliseconds, for example --max-tier-ms device:20,edge:5',
    ],
  ])('%j is named by its option, with an example', async (query, message) => {
    expect(await refusal(query)).toBe(message)
  })

  it('keeps a reason of our own, and names every option that is wrong', async () => {
    expect(await refusal({ codecs: 'q9', minStages: '1.5' })).toMatch(
      /--min-stages must be a whole number from 1 to 100.*; --codecs must be .*\(a codec is none, zstd.*\)$/,
    )
  })

  it('of any option is told without a phrase of a schema or a field', async () => {
    const odd = '\u0000?'
    const phrases = /Invalid (input|option|string|key)|Too (small|big)|Unrecognized|expected .* received/
    for (const [field, { flag }] of Object.entries(PLAN_HINTS)) {
      const message = await refusal({ [field]: odd })
      if (message === 'accepted') continue
      expect(message, field).not.toMatch(phrases)
      expect(message, field).toContain(`${flag} must be `)
    }
  })

  it('has an example that is accepted', async () => {
    for (const [field, { example }] of Object.entries(PLAN_HINTS))
      expect(await refusal({ [field]: example.replaceAll('"', '') }), field).toBe('accepted')
  })
})

it('sentences of services name options, not fields', () => {
  expect(optionNames('with firstLayersOnDevice: 5 and minStages: 2, device wins', PLAN_HINTS)).toBe(
    'with --first-layers-on-device 5 and --min-stages 2, device wins',
  )
  expect(optionNames('one would with maxLatencyMs at least 6', PLAN_HINTS)).toBe(
    'one would with --max-latency-ms at least 6',
  )
  expect(optionNames('profiles: unknown profile "x"; the profiles are measured', PLAN_HINTS)).toBe(
    '--profiles: unknown profile "x"; the profiles are measured',
  )
})

it('errors that have nothing to do with options pass as they are', async () => {
  const error = new ScissionError('notFound', 'unknown model "x"', { known: [] })
  await expect(namingOptions(PLAN_HINTS, () => Promise.reject(error))).rejects.toMatchObject({
    code: 'notFound',
    message: 'unknown model "x"',
    details: { known: [] },
  })
})

describe('usage errors', () => {
  const scission = (...args: string[]) =>
    runNode([SCISSION, ...args], { env: { ...process.env, NO_COLOR: '1' } })

  it.each([
    ['--json plan', /missing required argument 'model'/],
    ['nonsense --json', /unknown command 'nonsense'/],
    ['plan m --foo --json', /unknown option '--foo'/],
    ['--json links set a b --rtt x --bandwidth 1', /--rtt <ms>.*It must be a number/],
    ['--json --port-base x resources', /--port-base <n>.*port up to 65000/],
    ['--json undeploy x --csv', /unknown option '--csv'/],
    ['--json resources --csv', /--json and --csv: one of the two/],
    ['--json completion tcsh', /must be bash, zsh, fish/],
    ['--json', /^give a command/],
    ['help nonsense --json', /^unknown command 'nonsense'; scission --help/],
    ['--json models help nonsense', /^unknown command 'nonsense'/],
    ['--json up --nonsense', /^unknown option '--nonsense'; npm start -- --help lists the options$/],
    ['--json import nofile.json', /^import: cannot read nofile.json: there is no such file or folder$/],
  ])('%s: JSON on standard error, nothing on standard output, exit code 2', async (line, message) => {
    const { code, stdout, stderr } = await scission(...line.split(' '))
    const { error } = JSON.parse(stderr) as { error: { code: string; message: string; exitCode: number } }
    expect([code, stdout, error.code, error.exitCode]).toEqual([2, '', 'badRequest', 2])
    expect(error.message).toMatch(message)
  })

  it('no part of the program that reads the command line is named', async () => {
    for (const line of ['', 'help nonsense', 'zoo help nonsense'])
      expect((await scission(...line.split(' ').filter(Boolean))).stderr, line).toMatch(
        /^scission: [^()]*scission --help lists them\n$/,
      )
  })

  it('a group of commands without one of them lists', async () => {
    const listed = await scission('zoo', '--json')
    expect([listed.code, (JSON.parse(listed.stdout) as unknown[]).length]).toEqual([0, 18])
  })

  it('are one line of text otherwise', async () => {
    const { code, stdout, stderr } = await scission('plan')
    expect([code, stdout, stderr]).toEqual([2, '', "scission: missing required argument 'model'\n"])
  })
})

describe('help', () => {
  /** Files that a process of the sources loads; V8 lists them. */
  async function loadedBy(...args: string[]): Promise<string[]> {
    const coverage = mkdtempSync(path.join(os.tmpdir(), 'scission-loaded-'))
    try {
      // Never of a build, in which packages have no files of their own.
      const module = fileURLToPath(new URL('../../infra/cli/main.ts', import.meta.url))
      const entry = [...withLoader([], false), module]
      const env = { ...process.env, SCISSION_BUILD: undefined, NODE_V8_COVERAGE: coverage }
      const { code, stderr } = await runNode([...entry, ...args], { env })
      expect(code, stderr).toBe(0)
      return readdirSync(coverage).flatMap((name) => {
        const { result } = JSON.parse(readFileSync(path.join(coverage, name), 'utf8')) as {
          result: { url: string }[]
        }
        return result.map(({ url }) => url)
      })
    } finally {
      if (existsSync(coverage)) rmSync(coverage, { recursive: true })
    }
  }
  const heavy = (urls: readonly string[]) =>
    urls.filter((url) =>
      /node_modules\/(axios|zod|ioredis|bullmq|onnxruntime-node|adm-zip|yauzl)\//.test(url),
    )

  it('of all commands loads neither clients nor schemas', async () => {
    const urls = await loadedBy('--help')
    expect(urls.some((url) => url.includes('node_modules/commander'))).toBe(true)
    expect(heavy(urls)).toEqual([])
  })

  it('of one command loads no clients; a command that runs does', async () => {
    expect(heavy(await loadedBy('plan', '--help')).filter((url) => url.includes('axios'))).toEqual([])
    expect(heavy(await loadedBy('zoo', 'list')).some((url) => url.includes('axios'))).toBe(true)
  })
})
