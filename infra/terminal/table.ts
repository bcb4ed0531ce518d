/** Renders plain tables for terminals and log files: aligned columns, no frame and no rules. */
import Table from 'cli-table3'
import colour from 'picocolors'

type Cell = string | number

const EDGES = ['top', 'bottom', 'left', 'right'].flatMap((edge) => [edge, `${edge}-mid`])
const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right', 'mid', 'mid-mid']
const NO_BORDERS = {
  ...Object.fromEntries([...EDGES, ...CORNERS].map((name) => [name, ''])),
  left: '  ',
  middle: '  ',
}

/**
 * One row for each item.
 * @param columns head → the item's cell.
 */
export function tableOf<T>(
  items: readonly T[],
  columns: Readonly<Record<string, (item: T, index: number) => Cell>>,
): string {
  const cells = Object.values(columns)
  return renderTable(
    Object.keys(columns),
    items.map((item, index) => cells.map((cell) => cell(item, index))),
  )
}

/** Aligns numbers right and text left; prints `head` in bold if colours are on. */
export function renderTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const table = new Table({
    head: head.map((text) => colour.bold(text)),
    colAligns: head.map((_, column) => (rows.every((row) => looksNumeric(row[column])) ? 'right' : 'left')),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  })
  table.push(...rows.map((row) => [...row]))
  return table.toString()
}

function looksNumeric(cell: Cell | undefined): boolean {
  return (
    typeof cell === 'number' ||
    (cell !== undefined && /^[<≤~]?-?[\d.,]+(e-?\d+)?( ?(ms|s|B|kB|MB|GB|Mbit\/s|x|%))?$/.test(cell))
  )
}
