/** Which columns of a table a terminal has room for, and where the texts in them are broken. */
import stringWidth from 'string-width'
import { wrapCell, widestWord } from './wrap.ts'

export interface Room {
  /** Columns of the terminal. */
  width: number
  /** Before every column. */
  gap: number
  /** Heads of the columns that may be left out, the first to go first. */
  expendable: readonly string[]
  /** For each column, whether it holds figures, which are not broken. */
  isFigure: readonly boolean[]
}

export interface Fitted {
  /** Indices of the columns that are shown. */
  shown: number[]
  /** Heads of those that are not. */
  dropped: string[]
  /** The heads, then the rows, of all columns, with line breaks. */
  cells: string[][]
}

/** A text is broken to this width before a column is left out for it. */
const COMFORTABLE = 16

/** @returns undefined if even without the expendable columns no layout fits. */
export function fitColumns(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  room: Room,
): Fitted | undefined {
  const all = [heads, ...rows]
  const natural = heads.map((_, column) => widest(all, column, stringWidth))
  const least = heads.map((_, column) => {
    if (room.isFigure[column])
      return Math.max(widest(rows, column, stringWidth), widestWord(heads[column] ?? ''))
    return widest(all, column, widestWord)
  })
  const comfortable = least.map((width, column) =>
    Math.max(width, Math.min(COMFORTABLE, natural[column] ?? 0)),
  )
  const layouts = [
    ...Array.from({ length: room.expendable.length + 1 }, (_, count) => [count, comfortable] as const),
    [room.expendable.length, least] as const,
  ]
  for (const [count, narrowest] of layouts) {
    const dropped = room.expendable.slice(0, count).filter((head) => heads.includes(head))
    const shown = heads.flatMap((head, column) => (dropped.includes(head) ? [] : [column]))
    const widths = shrink(natural, narrowest, shown, room)
    if (widths === undefined) continue
    const cells = all.map((row) =>
      row.map((cell, column) =>
        stringWidth(cell) <= (widths[column] ?? 0) ? cell : wrapCell(cell, widths[column] ?? 0),
      ),
    )
    return { shown, dropped, cells }
  }
  return undefined
}

const widest = (
  rows: readonly (readonly string[])[],
  column: number,
  measure: (text: string) => number,
): number => rows.reduce((most, row) => Math.max(most, measure(row[column] ?? '')), 0)

/** Takes from the widest column that can give, until all fit. @returns undefined if they never do. */
function shrink(
  natural: readonly number[],
  least: readonly number[],
  shown: readonly number[],
  { width, gap }: Room,
): number[] | undefined {
  const widths = [...natural]
  const sum = (of: readonly number[]) => shown.reduce((total, column) => total + (of[column] ?? 0) + gap, 0)
  if (sum(widths) <= width) return widths
  if (sum(least) > width) return undefined
  for (let over = sum(widths) - width; over > 0; over -= 1) {
    const giving = shown.filter((column) => (widths[column] ?? 0) > (least[column] ?? 0))
    const [most] = giving.sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))
    if (most === undefined) return undefined
    widths[most] = (widths[most] ?? 0) - 1
  }
  return widths
}
