/** Options that several commands have. */
import { Option } from 'commander'
import { parseInputShapes } from '../../shared/contracts/input-shapes.ts'
import { NETWORK_NAMES } from '../../shared/contracts/network-presets.ts'

/** Its value is parsed. */
export const shapesOption = (text = 'input:1x3x224x224,other:1x16') =>
  new Option('--shapes <shapes>', text).argParser(parseInputShapes)

export const networkOption = (text: string) => new Option('--network <preset>', text).choices(NETWORK_NAMES)
