/** `scission sweep`: the best plan in every cell of a grid of conditions, as a map of letters. */
import type { Command } from 'commander'
import type { z } from 'zod'
import { NETWORK_NAMES, type NetworkName } from '../../../shared/contracts/network-presets.ts'
import type { SweepAxis } from '../../../shared/contracts/plan-sweep.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { numberIn } from '../numbers.ts'
import { namingOptions, type OptionHints } from '../option-errors.ts'
import { mapTable, sweepText } from '../sweep-map.ts'
import { addPlanOptions, type GivenOptions, PLAN_HINTS, planQuery } from './plan-options.ts'

const HOW =
  'bandwidth (Mbit/s), rtt (ms), slowdown or network, "@" and the links or resources that it is about, "=" and values: ' +
  'bandwidth=0.5:100:40 (40 values, evenly spread on a logarithmic scale), rtt@device>cloud=1,10,100, ' +
  'slowdown@edge=1:8:20, network=3g,4g,wifi'

/** What people call a condition → the field of a link; the fields themselves are taken too. */
const LINK_FIGURES: Readonly<Record<string, 'bandwidthMbps' | 'rttMs'>> = {
  bandwidth: 'bandwidthMbps',
  rtt: 'rttMs',
  bandwidthMbps: 'bandwidthMbps',
  rttMs: 'rttMs',
}

export function defineSweep(command: Command, context: Context): void {
  command.requiredOption('--vary <condition...>', HOW)
  addPlanOptions(command)
    .addOption(csvOption())
    .action(async (model: string, { vary, ...options }: GivenOptions & { vary: string[] }) => {
      const request = { query: planQuery(model, options), axes: vary.map(axisOf) }
      const answer = await namingOptions(hintsOf(vary), () => context.planner.sweep(request))
      context.printTable(answer, mapTable, (shown) => sweepText(shown))
    })
}

/** The query is a part of the request, and so is each axis. */
function hintsOf(vary: readonly string[]): OptionHints {
  const query = Object.entries(PLAN_HINTS).map(([field, hint]) => [`query.${field}`, hint] as const)
  const axis = {
    flag: '--vary',
    expected: 'a condition with values that it can have',
    example: 'rtt=1,10,100',
  }
  const axes = vary.flatMap((_, index) =>
    [`axes.${index}`, `axes[${index}].resources`, `axes[${index}].links`].map((field) => [field, axis]),
  )
  return { ...PLAN_HINTS, axes: axis, ...Object.fromEntries([...query, ...axes]) }
}

/** `slowdown@edge=1:8:20` → an axis: the condition, the resource or link, and the values. The planner checks them. */
export function axisOf(text: string): z.input<typeof SweepAxis> {
  const [left = '', right = ''] = text.split(/=(.*)/s, 2)
  const [vary = '', of = ''] = left.split(/@(.*)/s, 2)
  const names = of.split(',').filter(Boolean)
  if (vary === 'network') return { vary, values: right.split(',').map((name) => networkOf(name, text)) }
  const values = valuesOf(right, text)
  if (vary === 'slowdown') {
    if (names.length > 0) return { vary, resources: names, values }
    throw new ScissionError('badRequest', `--vary ${text}: say of which resource: slowdown@edge=1:8:20`)
  }
  const figure = Object.hasOwn(LINK_FIGURES, vary) ? LINK_FIGURES[vary] : undefined
  if (figure === undefined) throw new ScissionError('badRequest', `--vary ${text}: must be ${HOW}`)
  const links = names.map((name) => {
    const [from, to] = name.split('>')
    if (from && to) return { from, to }
    throw new ScissionError(
      'badRequest',
      `--vary ${text}: "${name}" is no link; one reads ${vary}@device>edge=…`,
    )
  })
  return { vary: figure, values, ...(links.length > 0 && { links }) }
}

function networkOf(name: string, whole: string): NetworkName {
  const network = NETWORK_NAMES.find((one) => one === name)
  if (network !== undefined) return network
  throw new ScissionError(
    'badRequest',
    `--vary ${whole}: a network is ${NETWORK_NAMES.join(', ')}, got: ${name}`,
  )
}

/** `1,2,5`, or `low:high:count` on a logarithmic scale (on a linear scale if `low` is 0). */
function valuesOf(text: string, whole: string): number[] {
  if (!text.includes(':')) {
    const values = text.split(',').map(numberIn)
    if (values.every(Number.isFinite)) return values
    throw new ScissionError('badRequest', `--vary ${whole}: "=" and numbers must follow: rtt=1,10,100`)
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
