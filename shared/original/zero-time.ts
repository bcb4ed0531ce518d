/**
 * Reproduces a known fault of the original, only for comparisons with it: the original treats a tier whose measured time is
 * exactly 0 s as unused. If edge and cloud take 0 s, the device's upload counts as 0 bytes (but the ping is paid), and the
 * edge's output counts as upload; if only the cloud takes 0 s, the edge's upload counts as 0 bytes.
 *
 * The optimiser's cost of a plan must not contain this fault, so these plans are enumerated here, as the original does.
 */
import type { Criteria, TierCriteria } from './criteria.ts'
import { type Block, type Connection, type System, TIERS, type Tier } from './data.ts'
import type { PrintedStage } from './lines.ts'

export interface Scenario {
  device: string
  stages: PrintedStage[]
  seconds: number
  uploadBytes: number
}

interface Run {
  system: System
  blocks: readonly Block[]
  from: number
  to: number
  seconds: number
}

/** The `criteria.count` fastest plans by the original's rules, best first. */
export function faultyScenarios(
  systems: readonly System[],
  connections: readonly Connection[],
  model: string,
  criteria: Criteria,
): Scenario[] {
  const wired = new Map(connections.map((one) => [`${one.from} ${one.to}`, one]))
  const of = (tier: Tier) => systems.filter((system) => system.tier === tier && system.models.has(model))
  const found: Scenario[] = []
  for (const device of of('device')) {
    const blocks = device.models.get(model)!
    const cut = blocks.length
    for (let x = 0; x <= cut; x += 1)
      for (const edge of [undefined, ...of('edge')])
        for (let y = edge ? x + 1 : x; y <= (edge ? cut : x); y += 1)
          for (const cloud of y < cut ? of('cloud') : [undefined]) {
            const runs = [runOf(device, model, 0, x), runOf(edge, model, x, y), runOf(cloud, model, y, cut)]
            const scenario = scenarioOf(device, runs, wired, criteria)
            if (scenario) found.push(scenario)
          }
  }
  return found.sort((a, b) => a.seconds - b.seconds).slice(0, criteria.count)
}

function runOf(system: System | undefined, model: string, from: number, to: number): Run | undefined {
  if (!system || from === to) return undefined
  const blocks = system.models.get(model)!
  let seconds = 0
  for (let block = from; block < to; block += 1) seconds += blocks[block]!.seconds
  return { system, blocks, from, to, seconds }
}

function scenarioOf(
  device: System,
  runs: readonly (Run | undefined)[],
  wired: ReadonlyMap<string, Connection>,
  criteria: Criteria,
): Scenario | undefined {
  const [first, edge, cloud] = runs
  const outputOf = (run: Run | undefined) => run?.blocks[run.to - 1]?.outputBytes
  let deviceBytes = outputOf(first) ?? criteria.inputBytes
  let edgeBytes = outputOf(edge) ?? 0
  const [edgeSeconds, cloudSeconds] = [edge?.seconds ?? 0, cloud?.seconds ?? 0]
  if (edgeSeconds === 0 && cloudSeconds === 0) deviceBytes = 0
  else if (cloudSeconds === 0) edgeBytes = 0
  const processing = (first?.seconds ?? 0) + edgeSeconds + cloudSeconds
  const allowed = TIERS.every((tier, at) =>
    satisfies(criteria.tiers[tier], runs[at], [deviceBytes, edgeBytes, 0][at]!, processing),
  )
  const hopSeconds = hopsOf(device, runs, [deviceBytes, edgeBytes], wired)
  if (!allowed || hopSeconds === undefined) return undefined
  const stages = runs.flatMap((run) =>
    run ? [{ tier: run.system.tier, name: run.system.name, from: run.from, to: run.to }] : [],
  )
  return {
    device: device.name,
    stages,
    seconds: processing + hopSeconds,
    uploadBytes: deviceBytes + edgeBytes,
  }
}

/** Seconds of all hops; undefined if a connection is missing. */
function hopsOf(
  device: System,
  [, edge, cloud]: readonly (Run | undefined)[],
  [deviceBytes = 0, edgeBytes = 0]: readonly number[],
  wired: ReadonlyMap<string, Connection>,
): number | undefined {
  const path = [device, edge?.system, cloud?.system].filter((system) => system !== undefined)
  let seconds = 0
  for (const [at, to] of path.slice(1).entries()) {
    const from = path[at]!
    const connection = wired.get(`${from.name} ${to.name}`)
    if (!connection) return undefined
    const bytes = from === device ? deviceBytes : edgeBytes
    seconds += connection.pingMs / 1000 + bytes / Math.round(connection.mbps * 125_000)
  }
  return seconds
}

function satisfies(
  criteria: TierCriteria,
  run: Run | undefined,
  sentBytes: number,
  processing: number,
): boolean {
  const { layers, notLayers, names, notNames } = criteria
  // An unused tier counts as one that runs "layer -1".
  const [first, last] = run ? [run.blocks[run.from]!.first, run.blocks[run.to - 1]!.last] : [-1, -1]
  const runs = (layer: number) => layer >= first && layer <= last
  const seconds = run?.seconds ?? 0
  return (
    layers.every(runs) &&
    !notLayers.some(runs) &&
    (names.length === 0 || (run !== undefined && names.includes(run.system.name))) &&
    (notNames.length === 0 || (run !== undefined && !notNames.includes(run.system.name))) &&
    sentBytes <= (criteria.maxUploadBytes ?? Infinity) &&
    seconds <= (criteria.maxSeconds ?? Infinity) &&
    (criteria.maxPercent === undefined || (seconds / processing) * 100 <= criteria.maxPercent)
  )
}
