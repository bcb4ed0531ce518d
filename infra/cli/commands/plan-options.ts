/** Options of `scission plan` and `scission sweep`. Each is a field of the plan query, whose value the planner checks. */
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { shapesOption } from '../common-options.ts'

/** Shell option → field of the plan query. */
const PLAN_OPTIONS = [
  ['--top <k>', 'top', 'how many plans'],
  [
    '--objective <name>',
    'objective',
    'latency, throughput (stages overlap), bytes, energy, price or weighted',
  ],
  ['--weights <figures>', 'weights', 'for weighted: latency:1,energy:20'],
  ['--pareto <objectives>', 'pareto', 'all best trade-offs between 2–4 objectives: latency,energy'],
  ['--distinct <plans|resources>', 'distinct', 'resources: only the best plan on the same resources'],
  ['--confidence <median|upper>', 'confidence', 'upper: plan with every time at its 95 % bound'],
  ['--view <chain|graph>', 'view', 'graph: stages may cut through parallel branches'],
  ['--time-limit-ms <ms>', 'timeLimitMs', 'the best answer found by then, with how far it may be off'],
  ['--source <resource>', 'source', 'where the input is'],
  ['--use <tiers>', 'mustUseTiers', 'tiers that must be used, comma-separated'],
  ['--avoid <tiers>', 'mustNotUseTiers', 'tiers that must not be used'],
  ['--use-resources <names>', 'mustUseResources', 'resources that must be used'],
  ['--avoid-resources <names>', 'mustNotUseResources', 'resources that must not be used'],
  ['--first-layers-on-device <k>', 'firstLayersOnDevice', 'layers 0..k-1 stay where the input is'],
  [
    '--tensor-on-device <name>',
    'tensorOnDevice',
    'this tensor and all before it are made where the input is',
  ],
  ['--run-layers <places>', 'mustRunLayers', 'layers that must run on a tier: 0-5:device,7:edge'],
  ['--keep-layers-off <places>', 'mustNotRunLayers', 'layers that must not run on a tier'],
  ['--max-tier-ms <limits>', 'maxTierMs', 'compute time per tier: device:20,edge:5'],
  ['--max-tier-share <limits>', 'maxTierShare', 'percent of the compute time per tier: device:30'],
  ['--max-upload-bytes <limits>', 'maxUploadBytes', 'bytes sent on per tier: device:100000'],
  ['--max-total-upload-bytes <bytes>', 'maxTotalUploadBytes', 'bytes sent on by all tiers together'],
  ['--max-memory-bytes <limits>', 'maxMemoryBytes', 'memory per resource: gateway:50000000'],
  ['--max-latency-ms <ms>', 'maxLatencyMs', 'predicted latency'],
  ['--min-throughput <n>', 'minThroughput', 'requests per second when stages overlap'],
  ['--max-energy-j <joules>', 'maxEnergyJ', 'energy per request'],
  ['--max-price <price>', 'maxPrice', 'price per request'],
  ['--min-stages <n>', 'minStages', 'at least so many stages'],
  ['--max-stages <n>', 'maxStages', 'at most so many stages'],
  ['--cuts <clean|any>', 'cuts', 'which boundaries may be cut'],
  ['--codecs <names>', 'codecs', 'codecs that may be used; default: all that are calibrated'],
  ['--max-accuracy-loss <share>', 'maxAccuracyLoss', '0..1; default 0: only codecs that lose nothing'],
  ['--options <own|any>', 'options', 'any: choose among the runtime options that were measured'],
  ['--profiles <ids>', 'profiles', 'plan with these profiles only'],
  ['--busy-watts <figures>', 'busyWatts', 'watts while computing: device:5,edge:30'],
  ['--idle-watts <figures>', 'idleWatts', 'watts while waiting'],
  ['--transmit-watts <figures>', 'transmitWatts', 'watts while sending'],
  ['--price-per-second <figures>', 'pricePerSecond', 'price of a second of compute: cloud:0.0001'],
  ['--price-per-gb <figures>', 'pricePerGb', 'price of 10^9 bytes sent on'],
  ['--network <preset>', 'network', 'what if the first tier’s links were 3g, 4g, wifi or wired'],
  [
    '--links <changes>',
    'links',
    'what if links were: "device>edge:rttMs=20;upMbps=5,device>cloud:preset=3g"',
  ],
  ['--extra-rtt-ms <figures>', 'extraRttMs', 'what if links had more round trip: "device>cloud:30"'],
  ['--loads <figures>', 'loads', 'what if other processes kept so many cores of resources busy: edge:1'],
  ['--slowdowns <figures>', 'slowdowns', 'what if resources ran so many times slower: edge:2'],
  ['--without <names>', 'without', 'what if these resources were not there'],
  ['--only <names>', 'only', 'what if no others were there'],
  ['--present <names>', 'present', 'what if these were alive, although their heartbeat stopped'],
] as const satisfies readonly (readonly [string, keyof PlanQuery, string])[]

export interface GivenOptions {
  shapes?: InputShapes
  [option: string]: string | boolean | InputShapes | undefined
}

export function addPlanOptions(command: Command): Command {
  for (const [flag, , text] of PLAN_OPTIONS) command.option(flag, text)
  return command.addOption(shapesOption())
}

export function planQuery(model: string, options: GivenOptions): z.input<typeof PlanQuery> {
  const given = PLAN_OPTIONS.map(([flag, field]) => [field, options[new Option(flag).attributeName()]])
  return { model, inputShapes: options.shapes, ...Object.fromEntries(given) }
}
