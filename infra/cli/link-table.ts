/** The table of links: each figure with its half-width, its age and what it rests on. Pure. */
import colour from 'picocolors'
import type { Link, LinkView } from '../../shared/contracts/resource.ts'
import { type FigureColumn, painted } from '../terminal/columns.ts'
import { formatMbps, formatMs, threeDigits } from '../terminal/format.ts'
import { type Table, tableOf } from '../terminal/table.ts'
import { ageText } from './tables.ts'

/** A link as set just now has no age. */
type Shown = Link & Partial<Pick<LinkView, 'ageMs'>>
type Figure = 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps'

export const linksTable = (links: readonly Shown[]): Table =>
  tableOf(
    links,
    {
      link: ({ from, to }) => `${from} → ${to}`,
      'round trip': figureColumn('rttMs', 'ms', formatMs, formatMs),
      bandwidth: figureColumn('bandwidthMbps', 'Mbit/s', formatMbps, threeDigits),
      back: figureColumn('returnBandwidthMbps', 'Mbit/s', formatMbps, threeDigits),
      age: ({ ageMs, measuredAt }) => ({
        text: ageMs === undefined ? 'now' : ageText(ageMs),
        value: measuredAt,
      }),
      from: ({ basis }) => basisText(basis),
      figures: ({ source, emulated, emulation }) =>
        painted(
          source + (emulated ? `, emulated${emulation?.preset ? ` ${emulation.preset}` : ''}` : ''),
          emulated ? colour.yellow : String,
        ),
    },
    { ifEmpty: 'no links measured yet', expendable: ['from', 'back', 'age'] },
  )

/** `19.1 Mbit/s ± 0.42`; the half-width is left out where nothing was measured. */
function figureColumn(
  field: Figure,
  unit: string,
  format: (value: number) => string,
  formatWidth: (value: number) => string,
): FigureColumn<Shown> {
  return {
    unit,
    cell: ({ [field]: value, uncertainty }) => ({
      text: uncertainty ? `${format(value)} ± ${formatWidth(uncertainty[field])}` : format(value),
      value,
    }),
  }
}

/** `34 probes, 20 messages`: what the figures rest on. */
function basisText(basis: Link['basis']): string {
  if (!basis) return ''
  const { probes, traffic } = basis
  const messages = `${traffic} message${traffic === 1 ? '' : 's'}`
  return traffic === 0 ? `${probes} probes` : `${messages}, ${probes} probes before`
}
