/** The query tool: its answers are the original's, if the published measurements are present, and so are its messages. */
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { definePredict, predict } from '../../infra/cli/commands/predict.ts'
import type { Context } from '../../infra/cli/context.ts'
import { loadedLine, NO_RESULTS, type OriginalOptions, readSystems } from '../../shared/original/index.ts'
import { MEASUREMENTS, NEEDS_ORIGINAL, ORIGINAL_FOLDER, readDocument } from './data.ts'

interface Case {
  id: string
  model: string
  network: string
  args: string[]
  exit: number
  top: string[]
  stdout: string[] | null
  totals?: number[]
  feasibleScenarios?: number
  topWithoutZeroTimeBug?: string[]
  totalsWithoutZeroTimeBug?: number[]
}

const cases: Case[] = NEEDS_ORIGINAL.skip
  ? []
  : (readDocument(ORIGINAL_FOLDER, 'expected-sample') as { cases: Case[] }).cases

/** Runs the command as the shell would; lines that it printed, or what it threw. */
async function run(args: readonly string[]): Promise<string[]> {
  const printed: string[] = []
  const program = new Command().exitOverride()
  const context: Pick<Context, 'print'> = {
    print: (value, text) => void printed.push(...text(value).split('\n')),
  }
  definePredict(program.command('predict <folder> <network> <model>'), context)
  await program.parseAsync(['predict', ...args], { from: 'user' })
  return printed
}

const results = (lines: readonly string[]) =>
  lines.flatMap((line) => (/^\[\d+\] /.test(line) ? [line.replace(/^\[\d+\] /, '')] : []))

describe('the 43 sampled answers of the original', NEEDS_ORIGINAL, () => {
  it('are all there', () => {
    expect(cases.length).toBe(43)
  })

  it.each(cases)('$id: with its zero-time fault, to the last printed digit', async (one) => {
    const asked = run([ORIGINAL_FOLDER, one.network, one.model, ...one.args, '--zero-time-bug'])
    if (one.exit !== 0) {
      await expect(asked).rejects.toMatchObject({ code: 'badRequest' })
      return
    }
    const lines = await asked
    expect(results(lines)).toEqual(one.top)
    if (one.stdout) expect(lines).toEqual(one.stdout)
  })

  it.each(cases)('$id: by default, without the fault', async (one) => {
    const asked = run([ORIGINAL_FOLDER, one.network, one.model, ...one.args])
    if (one.exit !== 0) {
      await expect(asked).rejects.toMatchObject({ code: 'badRequest' })
      return
    }
    const lines = await asked
    expect(results(lines)).toEqual(one.topWithoutZeroTimeBug ?? one.top)
    if (one.stdout) expect(lines).toEqual(one.stdout)
  })

  it('have these totals to 12 digits', () => {
    for (const one of cases.filter(({ args }) => args.length === 2 && args[0] === '--result-count')) {
      const { seconds } = predict(ORIGINAL_FOLDER, one.network, one.model, { resultCount: one.args[1] })
      const expected = one.totalsWithoutZeroTimeBug ?? one.totals ?? []
      expect(seconds.map((value) => value.toPrecision(12))).toEqual(
        expected.map((value) => value.toPrecision(12)),
      )
    }
  })
})

describe.each(MEASUREMENTS)('predict', ({ what, options, folder, networks, models, stillEdge }) => {
  describe(`on ${what}`, options, () => {
    type Asked = OriginalOptions & { zeroTimeBug?: boolean }
    const [network, otherNetwork] = networks
    const ask = (asked: Asked, model = models.any) => predict(folder(), network, model, asked)

    it('says how many machines it read', () => {
      expect(ask({}).loaded).toBe('[+] 5 systems loaded : 1 device, 2 edge, 2 cloud')
      expect(loadedLine(readSystems(folder()))).toBe(ask({}).loaded)
    })

    it('refuses options that are not numbers, unknown models, networks and folders, naming what is known', () => {
      expect(() => ask({ deviceUpload: 'much' })).toThrow('--device-upload: must be MB')
      expect(() => ask({ cloudTime: '-1' })).toThrow('--cloud-time')
      expect(() => ask({ cloudTime: 'x%' })).toThrow('--cloud-time: must be seconds, or a percentage')
      expect(() => ask({ resultCount: '0' })).toThrow('--result-count: must be a whole number from 1 to 1000')
      expect(() => ask({}, 'alexnet')).toThrow(`unknown model alexnet; known: ${models.first}`)
      expect(() => predict(folder(), 'wifi.csv', models.any, {})).toThrow(
        `unknown network wifi.csv; known: ${network}, ${otherNetwork}`,
      )
      expect(() => predict('/nowhere', 'wifi.csv', 'vgg16', {})).toThrow('cannot read the folder /nowhere')
    })

    it('names the option whose value begins with "-" as it is written', async () => {
      const asked = run([folder(), network, models.any, '--device-time', '-20%'])
      await expect(asked).rejects.toThrow(
        '--device-time: a value that begins with "-" must follow a "=": --device-time=-20%',
      )
    })

    it('has no results where a machine or layer does not exist, and prints that', async () => {
      const lines = await run([folder(), network, models.any, '-e', 'nobody'])
      expect(lines.at(-1)).toBe(NO_RESULTS)
      expect(ask({ device: '9999' }).results).toEqual([])
      expect(ask({ device: '!9999', edge: '-1', cloud: '-1' }).results).toHaveLength(1)
    })

    it('differs from the fault only in plans whose edge measured 0 s', () => {
      const asked = { device: '!-1', cloud: '-1', edge: '!-1', resultCount: '1000' }
      const fixed = new Set(ask(asked, models.still).results)
      const faulty = ask({ ...asked, zeroTimeBug: true }, models.still).results
      const only = faulty.filter((line) => !fixed.has(line))
      expect(only.length).toBeGreaterThan(0)
      expect(only.every((line) => line.includes(`Edge(${stillEdge})`))).toBe(true)
    })
  })
})
