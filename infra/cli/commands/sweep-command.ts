/** `scission sweep`: the best plan in every cell of a grid of conditions, as a map of letters. */
import type { Command } from 'commander'
import type { z } from 'zod'
import type { SweepAxis } from '../../../shared/contracts/plan-sweep.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Context } from '../context.ts'
import { numberIn } from '../numbers.ts'
import { sweepText } from '../plan-tables.ts'
import { addPlanOptions, type GivenOptions, planQuery } from './plan-options.ts'

const HOW =
  'bandwidthMbps, rttMs, slowdown or network, "@" and the links or resources that it is about, "=" and values: ' +
  'bandwidthMbps=0.5:100:40 (40 values, evenly spread on a logarithmic scale), rttMs@device>cloud=1,10,100, ' +
  'slowdown@edge=1:8:20, network=3g,4g,wifi'

export function addSweepCommand(program: Command, context: Context): void {
  const sweep = program
    .command('sweep <model>')
    .description('a map of the best plan over one to three conditions')
    .requiredOption('--vary <condition...>', HOW)
  addPlanOptions(sweep).action(
    async (model: string, { vary, ...options }: GivenOptions & { vary: string[] }) => {
      const request = { query: planQuery(model, options), axes: vary.map(axisOf) }
      context.print(await context.planner.sweep(request), sweepText)
    },
  )
}

/** `slowdown@edge=1:8:20` → an axis: the condition, the resource or link, and the values. The planner checks them. */
export function axisOf(text: string): z.input<typeof SweepAxis> {
  const [left = '', right = ''] = text.split(/=(.*)/s, 2)
  const [vary = '', of = ''] = left.split(/@(.*)/s, 2)
  const names = of.split(',').filter(Boolean)
  if (vary === 'network') return { vary, values: right.split(',') as never[] }
  const values = valuesOf(right, text)
  if (vary === 'slowdown') return { vary, resources: names, values }
  if (vary !== 'bandwidthMbps' && vary !== 'rttMs')
    throw new ScissionError('badRequest', `--vary ${text}: must be ${HOW}`)
  const links = names.map((name) => {
    const [from = '', to = ''] = name.split('>')
    return { from, to }
  })
  return { vary, values, ...(links.length > 0 && { links }) }
}

/** `1,2,5`, or `low:high:count` on a logarithmic scale (on a linear scale if `low` is 0). */
function valuesOf(text: string, whole: string): number[] {
  if (!text.includes(':')) {
    const values = text.split(',').map(numberIn)
    if (values.every(Number.isFinite)) return values
    throw new ScissionError('badRequest', `--vary ${whole}: "=" and numbers must follow: rttMs=1,10,100`)
  }
  const [low = NaN, high = NaN, count = NaN] = text.split(':').map(Number)
  const sound = low >= 0 && high > low && Number.isInteger(count) && count >= 2 && count <= 10_000
  if (!sound)
    throw new ScissionError(
      'badRequest',
      `--vary ${whole}: a range is low:high:count with low < high, count ≥ 2`,
    )
  return Array.from({ length: count }, (_, index) => {
    const share = index / (count - 1)
    return low === 0 ? high * share : low * (high / low) ** share
  })
}
