/**
 * Columns of tables. A cell has a text for people, rounded and with a unit, and a value for programs, exact and in the unit
 * that the column names.
 */
import { formatBytes, formatMs, formatShare, threeDigits } from './format.ts'

/** A cell whose text differs from its value, as one in colour. */
export interface TwoFacedCell {
  text: string
  value: string | number
}
export type Cell = string | number | TwoFacedCell

export type CellOf<T> = (item: T, index: number) => Cell

/** A column of numbers that have a unit. */
export interface FigureColumn<T> {
  /** Of the values. */
  unit: string
  cell: CellOf<T>
}
export type Column<T> = CellOf<T> | FigureColumn<T>

type Figure<T> = (item: T, index: number) => number | undefined

const figures =
  (unit: string, format: (value: number) => string) =>
  <T>(figure: Figure<T>): FigureColumn<T> => ({
    unit,
    cell: (item, index) => {
      const value = figure(item, index)
      return value === undefined ? '' : { text: format(value), value }
    },
  })

/** Milliseconds, bytes, and a share (0..1). Nothing is shown for undefined. */
export const msColumn = figures('ms', formatMs)
export const bytesColumn = figures('bytes', (bytes) => formatBytes(Math.round(bytes)))
export const shareColumn = figures('share', formatShare)
/** How many times. */
export const timesColumn = figures(
  'times',
  (value) => `${Number.isInteger(value) ? value : threeDigits(value)}x`,
)

/** A coloured text, whose value is without colour. */
export const painted = (text: string, paint: (text: string) => string): TwoFacedCell => ({
  text: paint(text),
  value: text,
})
