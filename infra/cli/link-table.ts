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
      'round trip ±': halfWidth('rttMs', 'ms'),
      bandwidth: figureColumn('bandwidthMbps', 'Mbit/s', formatMbps, besideMbps),
      'bandwidth ±': halfWidth('bandwidthMbps', 'Mbit/s'),
      back: figureColumn('returnBandwidthMbps', 'Mbit/s', formatMbps, besideMbps),
      'back ±': halfWidth('returnBandwidthMbps', 'Mbit/s'),
      age: ({ ageMs }) => (ageMs === undefined ? 'now' : ageText(ageMs)),
      'measured at': ({ measuredAt }) => measuredAt,
      from: ({ basis }) => basisText(basis),
      figures: ({ source, emulated, emulation }) =>
        painted(
          source + (emulated ? `, emulated${emulation?.preset ? ` ${emulation.preset}` : ''}` : ''),
          emulated ? colour.yellow : String,
        ),
    },
    {
      ifEmpty: 'no links measured yet',
      expendable: ['from', 'back', 'age'],
      only: {
        'round trip ±': 'csv',
        'bandwidth ±': 'csv',
        'back ±': 'csv',
        age: 'text',
        'measured at': 'csv',
      },
    },
  )

/** `19.1 Mbit/s ± 0.42`; the half-width is left out where nothing was measured. */
function figureColumn(
  field: Figure,
  unit: string,
  format: (value: number) => string,
  /** Of the half-width, beside the value. */
  formatWidth: (width: number, value: number) => string,
): FigureColumn<Shown> {
  return {
    unit,
    cell: ({ [field]: value, uncertainty }) => ({
      text: uncertainty ? `${format(value)} ± ${formatWidth(uncertainty[field], value)}` : format(value),
      value,
    }),
  }
}

/** In the unit of the figure, which is named once. */
const besideMbps = (width: number, value: number) => threeDigits(value >= 1000 ? width / 1000 : width)

/** Of its own column only for programs: people see it beside the figure. */
const halfWidth = (field: Figure, unit: string): FigureColumn<Shown> => ({
  unit,
  cell: ({ uncertainty }) => uncertainty?.[field] ?? '',
})

/** `34 probes, 20 messages`: what the figures rest on. */
function basisText(basis: Link['basis']): string {
  if (!basis) return ''
  const { probes, traffic } = basis
  const messages = `${traffic} message${traffic === 1 ? '' : 's'}`
  return traffic === 0 ? `${probes} probes` : `${messages}, ${probes} probes before`
}
