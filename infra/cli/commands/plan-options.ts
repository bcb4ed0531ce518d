/** Options of `scission plan` and `scission sweep`. Each is a field of the plan query, whose value the planner checks. */
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { shapesOption } from '../common-options.ts'
import { type OptionHints, optionNames } from '../option-errors.ts'
import type { AnyAnswer } from '../plan-tables.ts'

/** Option, field of the plan query, what it is, and what its value must be with an example. */
const PLAN_OPTIONS = [
  ['--top <k>', 'top', 'how many plans', 'a whole number from 1 to 1000', '3'],
  [
    '--objective <name>',
    'objective',
    'latency, throughput (stages overlap), bytes, energy, price or weighted',
    'latency, throughput, bytes, energy, price or weighted',
    'throughput',
  ],
  [
    '--weights <figures>',
    'weights',
    'for weighted: latency:1,energy:20',
    'objectives with their weights, 0 or more',
    'latency:1,energy:20',
  ],
  [
    '--pareto <objectives>',
    'pareto',
    'all best trade-offs between 2–4 objectives: latency,energy',
    '2 to 4 of latency, throughput, bytes, energy and price',
    'latency,energy',
  ],
  [
    '--distinct <plans|resources>',
    'distinct',
    'resources: only the best plan on the same resources',
    'plans or resources',
    'resources',
  ],
  [
    '--confidence <median|upper>',
    'confidence',
    'upper: plan with every time at its 95 % bound',
    'median or upper',
    'upper',
  ],
  [
    '--view <chain|graph>',
    'view',
    'graph: stages may cut through parallel branches',
    'chain or graph',
    'graph',
  ],
  [
    '--time-limit-ms <ms>',
    'timeLimitMs',
    'the best answer found by then, with how far it may be off',
    'milliseconds, more than 0 and at most 600000',
    '2000',
  ],
  ['--source <resource>', 'source', 'where the input is', 'the name of a resource', 'device'],
  [
    '--use <tiers>',
    'mustUseTiers',
    'tiers that must be used, comma-separated',
    'names of tiers',
    'edge,cloud',
  ],
  ['--avoid <tiers>', 'mustNotUseTiers', 'tiers that must not be used', 'names of tiers', 'cloud'],
  [
    '--use-resources <names>',
    'mustUseResources',
    'resources that must be used',
    'names of resources',
    'gateway',
  ],
  [
    '--avoid-resources <names>',
    'mustNotUseResources',
    'resources that must not be used',
    'names of resources',
    'gateway',
  ],
  [
    '--first-layers-on-device <k>',
    'firstLayersOnDevice',
    'layers 0..k-1 stay where the input is',
    'a whole number, 0 or more',
    '5',
  ],
  [
    '--tensor-on-device <name>',
    'tensorOnDevice',
    'this tensor and all before it are made where the input is',
    'the name of a tensor of the model',
    'relu1',
  ],
  [
    '--run-layers <places>',
    'mustRunLayers',
    'layers that must run on a tier: 0-5:device,7:edge',
    'layers with the tier that runs them',
    '0-5:device,7:edge',
  ],
  [
    '--keep-layers-off <places>',
    'mustNotRunLayers',
    'layers that must not run on a tier',
    'layers with the tier that does not run them',
    '7:cloud',
  ],
  [
    '--max-tier-ms <limits>',
    'maxTierMs',
    'compute time per tier: device:20,edge:5',
    'tiers with milliseconds',
    'device:20,edge:5',
  ],
  [
    '--max-tier-share <limits>',
    'maxTierShare',
    'percent of the compute time per tier: device:30',
    'tiers with percentages from 0 to 100',
    'device:30',
  ],
  [
    '--max-upload-bytes <limits>',
    'maxUploadBytes',
    'bytes sent on per tier: device:100000',
    'tiers with bytes',
    'device:100000',
  ],
  [
    '--max-total-upload-bytes <bytes>',
    'maxTotalUploadBytes',
    'bytes sent on by all tiers together',
    'a number of bytes',
    '100000',
  ],
  [
    '--max-memory-bytes <limits>',
    'maxMemoryBytes',
    'memory per resource: gateway:50000000',
    'resources with bytes',
    'gateway:50000000',
  ],
  ['--max-latency-ms <ms>', 'maxLatencyMs', 'predicted latency', 'milliseconds, more than 0', '50'],
  [
    '--min-throughput <n>',
    'minThroughput',
    'requests per second when stages overlap',
    'requests per second, more than 0',
    '30',
  ],
  ['--max-energy-j <joules>', 'maxEnergyJ', 'energy per request', 'joules, 0 or more', '0.5'],
  ['--max-price <price>', 'maxPrice', 'price per request', 'a price, 0 or more', '0.001'],
  ['--min-stages <n>', 'minStages', 'at least so many stages', 'a whole number from 1 to 100', '2'],
  ['--max-stages <n>', 'maxStages', 'at most so many stages', 'a whole number from 1 to 100', '2'],
  ['--cuts <clean|any>', 'cuts', 'which boundaries may be cut', 'clean or any', 'any'],
  [
    '--codecs <names>',
    'codecs',
    'codecs that may be used; default: all that are calibrated',
    'names of codecs',
    'q8,zstd',
  ],
  [
    '--max-accuracy-loss <share>',
    'maxAccuracyLoss',
    '0..1; default 0: only codecs that lose nothing',
    'a share from 0 to 1',
    '0.02',
  ],
  [
    '--options <own|any>',
    'options',
    'any: choose among the runtime options that were measured',
    'own or any',
    'any',
  ],
  [
    '--profiles <ids>',
    'profiles',
    'plan with these profiles only',
    'ids of profiles (scission profiles --json)',
    'ID1,ID2',
  ],
  [
    '--busy-watts <figures>',
    'busyWatts',
    'watts while computing: device:5,edge:30',
    'resources with watts',
    'device:5,edge:30',
  ],
  ['--idle-watts <figures>', 'idleWatts', 'watts while waiting', 'resources with watts', 'device:1'],
  ['--transmit-watts <figures>', 'transmitWatts', 'watts while sending', 'resources with watts', 'device:2'],
  [
    '--price-per-second <figures>',
    'pricePerSecond',
    'price of a second of compute: cloud:0.0001',
    'resources with prices',
    'cloud:0.0001',
  ],
  [
    '--price-per-gb <figures>',
    'pricePerGb',
    'price of 10^9 bytes sent on',
    'resources with prices',
    'cloud:0.05',
  ],
  [
    '--network <preset>',
    'network',
    'what if the first tier’s links were 3g, 4g, wifi or wired',
    '3g, 4g, wifi or wired',
    '4g',
  ],
  [
    '--links <changes>',
    'links',
    'what if links were: "device>edge:rttMs=20;upMbps=5,device>cloud:preset=3g"',
    'links with a preset, or with rttMs (up to 1000000), upMbps and downMbps',
    '"device>edge:rttMs=20;upMbps=5,device>cloud:preset=3g"',
  ],
  [
    '--extra-rtt-ms <figures>',
    'extraRttMs',
    'what if links had more round trip: "device>cloud:30"',
    'links with milliseconds',
    '"device>cloud:30"',
  ],
  [
    '--loads <figures>',
    'loads',
    'what if other processes kept so many cores of resources busy: edge:1',
    'resources with numbers of cores',
    'edge:1',
  ],
  [
    '--slowdowns <figures>',
    'slowdowns',
    'what if resources ran so many times slower: edge:2',
    'resources with factors, more than 0 and at most 1000',
    'edge:2',
  ],
  ['--without <names>', 'without', 'what if these resources were not there', 'names of resources', 'edge'],
  ['--only <names>', 'only', 'what if no others were there', 'names of resources', 'device,cloud'],
  [
    '--present <names>',
    'present',
    'what if these were alive, although their heartbeat stopped',
    'names of resources',
    'gateway',
  ],
] as const satisfies readonly (readonly [string, keyof PlanQuery, string, string, string])[]

export interface GivenOptions {
  csv?: boolean
  shapes?: InputShapes
  [option: string]: string | boolean | InputShapes | undefined
}

export function addPlanOptions(command: Command): Command {
  for (const [flags, , text] of PLAN_OPTIONS) command.option(flags, text)
  return command.addOption(shapesOption())
}

export function planQuery(model: string, options: GivenOptions): z.input<typeof PlanQuery> {
  const given = PLAN_OPTIONS.map(([flag, field]) => [field, options[new Option(flag).attributeName()]])
  return { model, inputShapes: options.shapes, ...Object.fromEntries(given) }
}

const longFlag = (flags: string) => flags.split(' ')[0] ?? flags

/** For what the planner says of a query: fields of it → options. */
export const PLAN_HINTS: OptionHints = Object.fromEntries(
  PLAN_OPTIONS.map(([flags, field, , expected, example]) => [
    field,
    { flag: longFlag(flags), expected, example },
  ]),
)

/** Flag → its values, of options that have only some: `median or upper`. */
export const PLAN_CHOICES: ReadonlyMap<string, readonly string[]> = new Map(
  PLAN_OPTIONS.flatMap(([flags, , , expected]) =>
    /^\w+(, \w+)* or \w+$/.test(expected) ? [[longFlag(flags), expected.split(/, | or /)]] : [],
  ),
)

/** The sentences of an answer with options in the places of fields. */
export function inOptions<A extends Pick<AnyAnswer, 'why' | 'notes' | 'leftOut'>>(answer: A): A {
  const said = (text: string) => optionNames(text, PLAN_HINTS)
  return {
    ...answer,
    why: said(answer.why),
    notes: answer.notes.map(said),
    leftOut: answer.leftOut.map((one) => ({ ...one, reason: said(one.reason) })),
  }
}
