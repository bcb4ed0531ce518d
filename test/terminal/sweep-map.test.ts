/** Maps of the best plan: letters between scales, and a row for each cell. */
import { stripVTControlCharacters } from 'node:util'
import { expect, it } from 'vitest'
import { mapTable, sweepText } from '../../infra/cli/sweep-map.ts'
import { csvText } from '../../infra/terminal/csv.ts'
import type { SweepAnswer } from '../../shared/contracts/plan-sweep.ts'

const plan = (resource: string, cells: number) => ({
  id: resource,
  stages: [{ resource, from: 0, to: 4 }],
  native: true,
  cells,
})
const bandwidths = Array.from({ length: 12 }, (_, at) => at + 0.5)
const answer = (axes: SweepAnswer['axes']) => {
  const count = axes.reduce((product, { values }) => product * values.length, 1)
  const cells = Array.from({ length: count }, (_, at) => (at === 0 ? -1 : at % 12 < 6 ? 0 : 1))
  return {
    objective: 'latency',
    plans: [plan('device', 1), plan('cloud', 2)],
    cells,
    values: cells.map((cell, at) => (cell < 0 ? null : at)),
    axes,
    notes: [],
  } as unknown as SweepAnswer
}
const shown = (axes: SweepAnswer['axes']) => stripVTControlCharacters(sweepText(answer(axes))).split('\n')

it('have the values of both axes beside the letters', () => {
  const lines = shown([
    { vary: 'rttMs', values: [1, 20] },
    { vary: 'bandwidthMbps', values: bandwidths },
  ])
  expect(lines.slice(0, 5)).toEqual([
    'to the right: bandwidth (Mbit/s) from 0.5 to 11.5; downwards: round trip (ms); ".": no plan',
    '           1  .AAAAABBBBBB',
    '          20  AAAAAABBBBBB',
    '              |         |',
    '              0.5       10.5',
  ])
  expect(lines.slice(5).join('\n')).toMatch(
    /map +best plan \(layers\) +cells\n +A +all on device +1\n +B +all on cloud +2/,
  )
})

it('that are wider than the terminal are drawn in parts, each with its scale', () => {
  const axes: SweepAnswer['axes'] = [
    { vary: 'rttMs', values: [1, 20] },
    { vary: 'bandwidthMbps', values: bandwidths },
  ]
  const lines = stripVTControlCharacters(sweepText(answer(axes), 30)).split('\n')
  expect(lines.slice(1, 9)).toEqual([
    '           1  .AAAAABBBB',
    '          20  AAAAAABBBB',
    '              |',
    '              0.5',
    '           1  BB',
    '          20  BB',
    '              |',
    '              10.5',
  ])
  const wide = Array.from({ length: 95 }, (_, at) => 10 ** (at / 20))
  for (const width of [40, 60, 80, 200]) {
    const text = stripVTControlCharacters(sweepText(answer([{ vary: 'bandwidthMbps', values: wide }]), width))
    const drawn = text.split('\n').slice(1, -3)
    expect(Math.max(...drawn.map((line) => line.length)), text).toBeLessThanOrEqual(width)
    expect(
      drawn.flatMap((line) => /[AB.]+$/.exec(line.replace(/^[ \d.|]*$/, '')) ?? []).join('').length,
    ).toBe(95)
  }
})

it('of a few values name each', () => {
  const [head] = shown([{ vary: 'network', values: ['3g', '4g', 'wifi'] }])
  expect(head).toBe('to the right: network: 3g, 4g, wifi; ".": no plan')
})

it('of three axes say which map is of which value', () => {
  const lines = shown([
    { vary: 'slowdown', resources: ['edge'], values: [1, 8] },
    { vary: 'rttMs', values: [1, 20] },
    { vary: 'bandwidthMbps', values: bandwidths },
  ])
  expect(lines.filter((line) => /^ {2}slowdown/.test(line))).toEqual(['  slowdown: 1', '  slowdown: 8'])
})

it('have the value of each cell for programs', () => {
  const axes: SweepAnswer['axes'] = [
    { vary: 'rttMs', values: [1, 20] },
    { vary: 'bandwidthMbps', values: [1, 2] },
  ]
  expect(csvText(mapTable(answer(axes))).split('\r\n')).toEqual([
    'round trip (ms),bandwidth (Mbit/s),best plan (layers),latency (ms)',
    '1,1,,',
    '1,2,all on device,1',
    '20,1,all on device,2',
    '20,2,all on device,3',
  ])
})
