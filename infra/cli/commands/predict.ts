/**
 * `scission predict PROFILE_DIR NETWORK MODEL`: the original's query tool on the original's data, answered by our
 * optimiser. It takes the same arguments and prints the same lines. It reproduces the original's zero-time fault only with
 * `--zero-time-bug` (shared/original/zero-time.ts).
 */
import type { Command } from 'commander'
import { optimise, type OptimiserQuery, type Problem } from '../../../shared/planning/index.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import {
  type Block,
  type Criteria,
  faultyScenarios,
  type ImportedResource,
  linksOf,
  loadedLine,
  NO_RESULTS,
  type OriginalOptions,
  parseCriteria,
  profileOf,
  queryOf,
  readConnections,
  readSystems,
  resourcesOf,
  resultLine,
  structureOf,
  type Connection,
  type System,
} from '../../../shared/original/index.ts'
import type { Context } from '../context.ts'

/** The original does not record when it measured. Nothing that is printed depends on this time. */
const UNKNOWN_TIME = new Date(0).toISOString()

interface PredictOptions extends OriginalOptions {
  zeroTimeBug?: boolean
}

export interface Prediction {
  /** The line that the original prints first. */
  loaded: string
  /** Plans, best first, as the original prints them; empty if there are no results. */
  results: string[]
  /** Predicted time of each result in seconds. */
  seconds: number[]
}

export function definePredict(command: Command, context: Pick<Context, 'print'>): void {
  command
    .option('-d, --device <criteria>', 'layers (3, !10), -1 unused, !-1 used, machines (raspi4, !raspi4)')
    .option('-e, --edge <criteria>', 'the same for the edge')
    .option('-c, --cloud <criteria>', 'the same for the cloud')
    .option('--device-upload <MB>', 'most that the device sends')
    .option('--edge-upload <MB>', 'most that the edge sends')
    .option('--device-time <limit>', 'seconds, or a percentage of the processing time: 20%')
    .option('--edge-time <limit>', 'the same for the edge')
    .option('--cloud-time <limit>', 'the same for the cloud')
    .option('-i, --input <MB>', 'size of the input image (default: 0.15)')
    .option('--result-count <n>', 'how many plans (default: 5)')
    .option('--zero-time-bug', 'take a tier that measured 0 s for unused, as the original does', false)
    .action((folder: string, network: string, model: string, options: PredictOptions) => {
      const prediction = predict(folder, network, model, options)
      const name = model.toLowerCase()
      context.print({ model: name, ...prediction }, (shown) =>
        [
          shown.loaded,
          ...(shown.results.length === 0 ? [NO_RESULTS] : [`[+] ${shown.model} results`]),
          ...shown.results.map((line, index) => `[${index + 1}] ${line}`),
        ].join('\n'),
      )
    })
}

/** @throws ScissionError badRequest (options, data), notFound (folder, network, model). */
export function predict(folder: string, network: string, model: string, given: PredictOptions): Prediction {
  const criteria = parseCriteria(unjoined(given))
  const systems = readSystems(folder)
  const connections = readConnections(folder, network)
  const name = model.toLowerCase()
  const known = [...new Set(systems.flatMap(({ models }) => [...models.keys()]))].sort()
  if (!known.includes(name))
    throw new ScissionError('notFound', `unknown model ${model}; known: ${known.join(', ')}`, { known })
  const loaded = loadedLine(systems)
  if (given.zeroTimeBug === true) {
    const found = faultyScenarios(systems, connections, name, criteria)
    const blocks = systems.find(({ models }) => models.has(name))!.models.get(name)!
    const line = (one: (typeof found)[number]) =>
      resultLine(one.seconds, one.uploadBytes, one.device, one.stages, blocks)
    return { loaded, results: found.map(line), seconds: found.map((one) => one.seconds) }
  }
  return { loaded, ...planned(systems, connections, name, criteria) }
}

/**
 * Normalises option values. Commander passes `-d=-1,!3` on with its "=", and accepts any value that begins with "-"; the
 * original accepts such a value only after "=", or if it is a negative number.
 */
function unjoined(given: PredictOptions): OriginalOptions {
  const { zeroTimeBug: _, ...texts } = given
  const entries = Object.entries(texts as Record<string, string>).map(([option, text]) => {
    if (text.startsWith('=')) return [option, text.slice(1)]
    if (!text.startsWith('-') || /^-(\d+|\d*\.\d+)$/.test(text)) return [option, text]
    const flag = `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    const message = `${flag}: a value that begins with "-" must follow a "=": ${flag}=${text}`
    throw new ScissionError('badRequest', message, { field: flag })
  })
  return Object.fromEntries(entries)
}

/** The best plans over all devices. */
function planned(
  systems: readonly System[],
  connections: readonly Connection[],
  model: string,
  criteria: Criteria,
): Omit<Prediction, 'loaded'> {
  const all = resourcesOf(systems)
  const blocks = systems.find(({ models }) => models.has(model))!.models.get(model)!
  const structure = structureOf(model, blocks, criteria.inputBytes)
  const profiles = systems.flatMap(({ models }, at) => {
    const timed = models.get(model)
    return timed ? [profileOf(structure, all[at]!, timed, UNKNOWN_TIME)] : []
  })
  const links = linksOf(connections, all, UNKNOWN_TIME)
  const found = all.flatMap((device) => {
    const query = device.tier === 'device' ? queryOf(criteria, device, all, blocks) : undefined
    if (query === undefined) return []
    const resources = all.filter((one) => one === device || one.tier !== 'device')
    return solve({ structure, resources, profiles, links }, query)
  })
  const best = found.sort((a, b) => a.predictedMs - b.predictedMs).slice(0, criteria.count)
  return {
    results: best.map((plan) => lineOf(plan, all, blocks)),
    seconds: best.map((plan) => plan.predictedMs / 1000),
  }
}

function solve(problem: Problem, query: OptimiserQuery): Plan[] {
  try {
    return optimise(problem, query).plans
  } catch (error) {
    // Having no plan is a valid result here: "No results".
    if (error instanceof ScissionError && (error.code === 'infeasible' || error.code === 'notMeasured'))
      return []
    throw error
  }
}

function lineOf(plan: Plan, resources: readonly ImportedResource[], blocks: readonly Block[]): string {
  const named = (name: string) => resources.find((one) => one.name === name)!
  const stages = plan.stages.map(({ resource, from, to }) => {
    const { tier, originalName } = named(resource)
    return { tier, name: originalName, from, to }
  })
  const sent = plan.transfers.reduce((sum, { bytes }) => sum + bytes, 0)
  return resultLine(plan.predictedMs / 1000, sent, named(plan.source).originalName, stages, blocks)
}
