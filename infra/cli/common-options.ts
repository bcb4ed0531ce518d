/** Options that several commands have. */
import { Option } from 'commander'
import { parseInputShapes } from '../../shared/contracts/input-shapes.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { NETWORK_NAMES } from '../../shared/contracts/network-presets.ts'

/** Its value is parsed. */
export const shapesOption = (text = 'input:1x3x224x224,other:1x16') =>
  new Option('--shapes <shapes>', text).argParser((given) => {
    try {
      return parseInputShapes(given)
    } catch (thrown) {
      throw new ScissionError('badRequest', `--shapes: ${coerceError(thrown).message}`, undefined, thrown)
    }
  })

export const networkOption = (text: string) => new Option('--network <preset>', text).choices(NETWORK_NAMES)

/** Of every command that prints a table. */
export const csvOption = () => new Option('--csv', 'print the table as CSV: exact values, units in the heads')
