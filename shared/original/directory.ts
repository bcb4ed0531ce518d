/**
 * Reads a folder of the original's measurements: either its own layout (`device-raspi4.dat`, `edge-….dat`,
 * `cloud-….dat`, and the network statistics as CSV) or `profiles.json` with `networks.json`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { ScissionError } from '../platform/errors.ts'
import {
  type Block,
  checkSystems,
  type Connection,
  parseNetworkCsv,
  parseNetworks,
  parseProfiles,
  type System,
  TIERS,
} from './data.ts'
import { type Pickled, PickledObject, unpickle } from './unpickle.ts'

const PROFILES = 'profiles.json'
const NETWORKS = 'networks.json'

/** @throws ScissionError notFound if the folder holds no measurements; badRequest for a file in an unknown format. */
export function readSystems(folder: string): System[] {
  const files = filesOf(folder)
  const pickles = files.filter((file) => /^[^-]+-.+\.dat$/.test(file)).sort()
  if (pickles.length > 0) return checkSystems(pickles.map((file) => readSystem(folder, file)))
  if (files.includes(PROFILES)) return parseProfiles(readJson(path.join(folder, PROFILES)))
  const message = `${folder} holds no measurements: neither <tier>-<name>.dat files nor ${PROFILES}`
  throw new ScissionError('notFound', message)
}

/** @param network a file in the folder (or a path), or the name of an entry of `networks.json`. */
export function readConnections(folder: string, network: string): Connection[] {
  const file = [path.join(folder, network), network].find((candidate) => existsSync(candidate))
  if (file !== undefined) return parseNetworkCsv(readFileSync(file, 'utf8'), file)
  const list = path.join(folder, NETWORKS)
  const known = existsSync(list) ? parseNetworks(readJson(list)) : new Map<string, Connection[]>()
  const connections = known.get(network)
  if (connections) return connections
  const names = [...known.keys(), ...filesOf(folder).filter((name) => name.endsWith('.csv'))].sort()
  throw new ScissionError('notFound', `unknown network ${network}; known: ${names.join(', ') || 'none'}`, {
    known: names,
  })
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    throw new ScissionError('notFound', `cannot read the folder ${folder}`, { folder }, error)
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ScissionError('badRequest', `${file} is not JSON`, { file }, error)
  }
}

/** The name up to the first dot is the machine's, as in the original; the part before "-" is its tier. */
function readSystem(folder: string, file: string): System {
  const [stem = ''] = file.split('.')
  const dash = stem.indexOf('-')
  const tier = TIERS.find((one) => one === stem.slice(0, dash).toLowerCase())
  if (!tier)
    throw new ScissionError('badRequest', `${file}: must begin with ${TIERS.join('-, ')}- to say its tier`)
  const content = unpickle(readFileSync(path.join(folder, file)), file)
  if (!(content instanceof Map)) throw odd(file, 'holds no dictionary of networks')
  const models = [...content].map(([model, value]) => {
    if (typeof model !== 'string') throw odd(file, 'has a network whose name is not a text')
    return [model.toLowerCase(), blocksOf(value, `${file}, ${model}`)] as const
  })
  return { tier, name: stem.slice(dash + 1), models: new Map(models) }
}

function blocksOf(value: Pickled, where: string): Block[] {
  if (!Array.isArray(value) || value.length === 0) throw odd(where, 'has no list of blocks')
  return value.map((block, at) => {
    if (!(block instanceof PickledObject)) throw odd(where, `block ${at} is not an object`)
    const number = (name: string) => {
      const found = block.attributes.get(name)
      if (typeof found === 'number' && found >= 0 && found < Infinity) return found
      throw odd(where, `block ${at} has no ${name}`)
    }
    return {
      first: number('input_layer'),
      last: number('output_layer'),
      seconds: number('second_prediction'),
      outputBytes: number('output_size'),
    }
  })
}

function odd(where: string, what: string): ScissionError {
  return new ScissionError('badRequest', `${where}: ${what}`)
}
