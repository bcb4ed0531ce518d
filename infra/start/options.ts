/** Options of `npm start -- …`; the same table prints the help. */
import { parseArgs } from 'node:util'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { parseInputShapes } from '../../shared/contracts/input-shapes.ts'
import { NETWORK_NAMES, type NetworkName } from '../../shared/contracts/network-presets.ts'

export interface StartOptions {
  /** An ONNX file; undefined = the zoo's MobileNetV2. */
  model: string | undefined
  inputShapes: InputShapes | undefined
  /** Files with values for its inputs; empty = they are made up. */
  samples: string[]
  once: boolean
  report: string | undefined
  /** Path of a testbed file; undefined = the default one. */
  testbed: string | undefined
  /** A network preset that replaces the links that leave the first tier. */
  network: NetworkName | undefined
  /** Benchmark N+1, planner N+2, inference N+10, N+11, …; 0 = any free ports. */
  portBase: number
}

export const HELP = `npm start -- [FILE.onnx] [options]
  FILE.onnx            split this model instead of the zoo's MobileNetV2
  --shapes SHAPES      fix its open input dimensions: input:1x3x224x224,other:1x16
  --samples FILE       values for its inputs: .npz, .npy named like its input, or JSON; may be repeated
  --once               exit after the run: 0 only if every step worked and the outputs agree
  --report FILE        write the run as JSON
  --testbed FILE       tiers, resources, slowdowns and links (default: infra/testbed/default.json)
  --network PRESET     links that leave the first tier: 3g, 4g, wifi or wired
  --port-base N        benchmark N+1, planner N+2, inference N+10 and up (default 8080; 0 = any free ports);
                       each N has data of its own
  --help               this text`

const OPTIONS = {
  shapes: { type: 'string' },
  samples: { type: 'string', multiple: true },
  once: { type: 'boolean', default: false },
  report: { type: 'string' },
  testbed: { type: 'string' },
  network: { type: 'string' },
  'port-base': { type: 'string', default: '8080' },
  help: { type: 'boolean', default: false },
} as const

/** Its options, for completion. */
export const START_OPTIONS = Object.entries(OPTIONS).map(([name, { type }]) => ({
  flag: `--${name}`,
  takesValue: type === 'string',
}))

/** @returns 'help' if it was asked for. @throws ScissionError badRequest, which names the option. */
export function parseStartOptions(args: string[]): StartOptions | 'help' {
  const { values, positionals } = parse(args)
  if (values.help) return 'help'
  if (positionals.length > 1)
    throw new ScissionError('badRequest', `one model at a time, got: ${positionals.join(' ')}`)
  const portBase = Number(values['port-base'])
  if (!Number.isInteger(portBase) || portBase < 0 || portBase > 65_000) {
    throw new ScissionError(
      'badRequest',
      `--port-base must be 0 or a port up to 65000, got: ${values['port-base']}`,
    )
  }
  return {
    model: positionals[0],
    inputShapes: values.shapes === undefined ? undefined : parseInputShapes(values.shapes),
    samples: values.samples ?? [],
    once: values.once,
    report: values.report,
    testbed: values.testbed,
    network: networkOf(values.network),
    portBase,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true })
  } catch (thrown) {
    // Node goes on about arguments that begin with a dash.
    const [message] = coerceError(thrown).message.split('. ')
    throw new ScissionError(
      'badRequest',
      `${message?.replace(/^./, (first) => first.toLowerCase())}; npm start -- --help lists the options`,
      undefined,
      thrown,
    )
  }
}

function networkOf(text: string | undefined): NetworkName | undefined {
  if (text === undefined) return undefined
  const network = NETWORK_NAMES.find((name) => name === text)
  if (!network)
    throw new ScissionError(
      'badRequest',
      `--network must be one of ${NETWORK_NAMES.join(', ')}, got: ${text}`,
    )
  return network
}
