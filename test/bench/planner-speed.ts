/** How fast the pure optimiser answers: chain view, graph view, maps. Medians of one process on one core. */
import { nearestRank } from '../support/nearest-rank.ts'
import { type OptimiserQuery, optimise, optimiseGraph, sweep } from '../../shared/planning/index.ts'
import { listZoo } from '../../shared/zoo/index.ts'
import { randomFrom } from '../support/random.ts'
import { type Figure, figure } from './bench.ts'
import {
  chainStructure,
  type Direct,
  graphStructure,
  problemOf,
  SPEEDS,
  zooStructure,
} from './planner-cases.ts'

export interface Part {
  figures: Figure[]
  raw: unknown
}

/** Another question each time: limits a little different, the same kind of answer. */
function chainQuery(run: number): OptimiserQuery {
  return {
    objective: 'latency',
    top: 5,
    cuts: 'clean',
    firstLayersOnDevice: 2,
    maxTierMs: { edge: (0.6 - (run % 50) / 5000) * SPEEDS.edge },
    maxUploadBytes: { device: 700_000 - 500 * (run % 40) },
    maxStages: 3,
  }
}

const GRAPH_QUERY: OptimiserQuery = { objective: 'latency', top: 1, cuts: 'any' }

/** ms of each run, the first ones (compilation, caches) dropped. */
function timed(runs: number, work: (run: number) => unknown): number[] {
  const samples: number[] = []
  for (let run = 0; run < runs + Math.ceil(runs / 4); run += 1) {
    const begin = performance.now()
    work(run)
    samples.push(performance.now() - begin)
  }
  return samples.slice(-runs)
}

export function chainSpeed(say: (text: string) => void, layers: number, runs: number, floorMs: number): Part {
  say(`chain of ${layers} layers`)
  const random = randomFrom(layers)
  const plain = problemOf(chainStructure(layers, random), 5, 5, random)
  const anew = timed(runs, (run) => optimise({ ...plain }, chainQuery(run)))
  const again = timed(runs, (run) => optimise(plain, chainQuery(run)))
  const name = `chain, N=${layers}, 5 resources per tier, top 5, four constraints`
  return {
    figures: [
      figure(name, nearestRank(again, 0.5), 'ms', 'lower', floorMs, {
        name: 'problem not seen before',
        value: nearestRank(anew, 0.5),
      }),
    ],
    raw: { name, again, anew },
  }
}

const LINKS = { quick: 'direct link quickest', slow: 'by way of an edge quicker' }

/** With many outputs the answer is so large that its transfer back alone rules out all routes but the device's own. */
export function graphSpeed(
  say: (text: string) => void,
  direct: Direct,
  outputs: 'many' | 'one',
  floorMs: number,
): Part {
  say(`graph of 1,000 layers, ${outputs} output(s), ${LINKS[direct]}`)
  const random = randomFrom(7)
  const structure = graphStructure(1000, random, outputs)
  const problem = problemOf(structure, 1, 1, random, direct)
  const samples = timed(200, () => optimiseGraph(problem, GRAPH_QUERY))
  const first = timed(10, () => optimiseGraph({ ...problem, structure: { ...structure } }, GRAPH_QUERY))
  const kind = outputs === 'one' ? 'one output, ' : ''
  const name = `graph of 1,000 layers, 3 tiers, one resource each, ${kind}${LINKS[direct]}`
  return {
    figures: [
      figure(name, nearestRank(samples, 0.5), 'ms', 'lower', floorMs, {
        name: 'structure not seen before',
        value: nearestRank(first, 0.5),
      }),
    ],
    raw: { name, samples, first },
  }
}

/** A device and 25 pairs of an edge and a cloud: 36 routes. */
export function networkSpeed(say: (text: string) => void, direct: Direct): Part {
  const networks = listZoo().map(({ name }) => {
    say(`${name} on the graph, ${LINKS[direct]}`)
    const structure = zooStructure(name)
    const problem = problemOf(structure, 5, 5, randomFrom(9), direct)
    const samples = timed(9, () => optimiseGraph(problem, GRAPH_QUERY))
    const { plans, gap } = optimiseGraph(problem, GRAPH_QUERY)
    return {
      name,
      layers: structure.layers.length,
      ms: nearestRank(samples, 0.5),
      samples,
      gap,
      best: plans[0],
    }
  })
  const slowest = networks.reduce((most, one) => (one.ms > most.ms ? one : most))
  const largest = networks.reduce((most, one) => (one.layers > most.layers ? one : most))
  return {
    figures: [
      figure(
        `graph of the largest network (${largest.name}, ${largest.layers} layers), 25 pairs, ${LINKS[direct]}`,
        largest.ms,
        'ms',
        'lower',
        40,
      ),
      figure(
        `graph of the slowest network (${slowest.name}), 25 pairs, ${LINKS[direct]}`,
        slowest.ms,
        'ms',
        'lower',
        null,
      ),
      figure(
        `graph of the 18 networks, 25 pairs, median network, ${LINKS[direct]}`,
        nearestRank(
          networks.map(({ ms }) => ms),
          0.5,
        ),
        'ms',
        'lower',
        null,
      ),
      figure(
        `largest gap of them, ${LINKS[direct]}`,
        Math.max(...networks.map(({ gap }) => gap)),
        'share',
        'lower',
        0,
      ),
    ],
    raw: networks,
  }
}

export function mapSpeed(say: (text: string) => void): Part {
  say('map of 10,000 cells')
  const random = randomFrom(3)
  const problem = problemOf(chainStructure(100, random), 1, 1, random)
  const steps = (count: number, from: number, to: number) =>
    Array.from({ length: count }, (_, at) => from * (to / from) ** (at / (count - 1)))
  const axes: Parameters<typeof sweep>[2] = [
    { vary: 'bandwidthMbps', values: steps(100, 0.5, 500) },
    { vary: 'rttMs', values: steps(100, 1, 300) },
  ]
  const run = () => sweep(problem, { objective: 'latency', top: 1, cuts: 'clean' }, axes)
  const samples = timed(5, run)
  const { plans, solved } = run()
  return {
    figures: [
      figure(
        `map of 100 bandwidths x 100 round trips, chain of 100 layers (${plans.length} regimes, ${solved} solved)`,
        10_000 / (nearestRank(samples, 0.5) / 1000),
        'cells/s',
        'higher',
        10_000,
      ),
    ],
    raw: { samples, plans: plans.length, solved },
  }
}
