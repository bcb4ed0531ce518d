/** Times of layers in a CSV file: a head with `layer` and `ms`, then a line for each layer. Other columns are passed over. */
import { ScissionError } from '../../../shared/platform/errors.ts'
import { numberIn } from '../numbers.ts'

/** @returns one time per layer in ms. @throws ScissionError badRequest, which names the file, the line and the column. */
export function layerTimesOf(file: string, text: string): number[] {
  const refuse = (what: string) => new ScissionError('badRequest', `${file}: ${what}`)
  const [head = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const columns = cellsOf(head).map((name) => name.toLowerCase())
  // "time (ms)" is what `scission profiles show --csv` writes.
  const [layerAt, msAt] = [
    columns.indexOf('layer'),
    columns.findIndex((name) => name === 'ms' || name === 'time (ms)'),
  ]
  if (layerAt < 0 || msAt < 0)
    throw refuse(`line 1: the head must have the columns layer and ms, got: ${head.slice(0, 60)}`)
  const times: (number | undefined)[] = []
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue
    const cells = cellsOf(line)
    const [layer, ms] = [numberIn(cells[layerAt] ?? ''), numberIn(cells[msAt] ?? '')]
    const at = `line ${index + 2}`
    if (!Number.isSafeInteger(layer) || layer < 0 || layer >= lines.length)
      throw refuse(
        `${at}, layer: must be a whole number from 0, below the number of lines, got: ${cells[layerAt] ?? ''}`,
      )
    if (!(ms >= 0 && Number.isFinite(ms)))
      throw refuse(`${at}, ms: must be milliseconds, 0 or more, got: ${cells[msAt] ?? ''}`)
    if (times[layer] !== undefined) throw refuse(`${at}, layer: ${layer} was there before`)
    times[layer] = ms
  }
  if (times.length === 0) throw refuse('there are no times below the head')
  return Array.from(times, (ms, layer) => {
    if (ms === undefined) throw refuse(`layer ${layer} is missing; layers count from 0`)
    return ms
  })
}

const cellsOf = (line: string) => line.split(',').map((cell) => cell.trim().replaceAll(/^"|"$/g, ''))
