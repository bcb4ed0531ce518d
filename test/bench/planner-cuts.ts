/**
 * The gain from more cuts: the original's cuts, all single-tensor cuts, and cuts through parallel branches, for the 18
 * networks with the original's own measured times, on both of its networks and each pair of an edge and a cloud.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { type GraphProblem, optimiseGraph } from '../../shared/planning/index.ts'
import { type Figure, figure } from './bench.ts'
import {
  type Network,
  type Original,
  problemOfNetwork,
  readOriginal,
  structureOfNetwork,
} from './planner-original.ts'
import type { Part } from './planner-speed.ts'

const QUERIES = {
  free: () => 0,
  'first layer on the device': () => 1,
  'first quarter on the device': (layers: number) => Math.ceil(layers / 4),
}
type QueryName = keyof typeof QUERIES

interface Answer {
  network: string
  query: QueryName
  connections: string
  edge: string
  cloud: string
  /** ms with the original's cuts, with all single-tensor cuts, with all cuts of the graph. */
  originalMs: number
  singleMs: number
  graphMs: number
}

/** Less is rounding, or a spread inside a block that no measurement tells from another. */
const WORTH = 0.001

export function measureCuts(say: (text: string) => void): Part {
  const original = readOriginal()
  if (original === undefined) {
    say('skipped: the original’s data is not there')
    return { figures: [], raw: undefined }
  }
  const answers = original.networks.flatMap((network) => {
    say(`cuts of ${network.name}`)
    return answersFor(original, network)
  })
  const cuts = original.networks.map(({ name, singleCuts, originalCuts }) => ({
    name,
    ours: singleCuts.length,
    original: originalCuts.length,
  }))
  const rows = cuts.map(({ name, ours, original: theirs }) =>
    figure(`single-tensor cuts of ${name}`, ours, 'cuts', 'higher', null, {
      name: 'original',
      value: theirs,
    }),
  )
  return { figures: [...rows, ...gains(answers)], raw: { cuts, answers } }
}

function answersFor(original: Original, network: Network): Answer[] {
  const structures = {
    originalMs: structureOfNetwork(network, network.originalCuts),
    singleMs: structureOfNetwork(network, network.singleCuts),
    graphMs: structureOfNetwork(network, undefined),
  }
  return [...original.connections].flatMap(([connections, links]) => {
    const problems = Object.entries(structures).map(
      ([name, structure]) => [name, problemOfNetwork(original, network, structure, links)] as const,
    )
    const { resources } = problems[0]![1]
    const named = (tier: string) => resources.filter((one) => one.tier === tier).map(({ name }) => name)
    return named('edge').flatMap((edge) =>
      named('cloud').flatMap((cloud) =>
        (Object.keys(QUERIES) as QueryName[]).map((query): Answer => {
          const layers = QUERIES[query](network.rows.length - 1)
          const ms = problems.map(([name, problem]) => [name, bestMs(only(problem, edge, cloud), layers)])
          const {
            originalMs = 0,
            singleMs = 0,
            graphMs = 0,
          } = Object.fromEntries(ms) as Record<string, number>
          return { network: network.name, query, connections, edge, cloud, originalMs, singleMs, graphMs }
        }),
      ),
    )
  })
}

function only(problem: GraphProblem, edge: string, cloud: string): GraphProblem {
  const kept = (name: string, tier: string) => tier === 'device' || name === edge || name === cloud
  return { ...problem, resources: problem.resources.filter(({ name, tier }) => kept(name, tier)) }
}

function bestMs(problem: GraphProblem, firstLayersOnDevice: number): number {
  const known = new Set(problem.resources.map(({ name }) => name))
  const profiles = problem.profiles.filter(({ resource }) => known.has(resource))
  const { plans, gap } = optimiseGraph(
    { ...problem, profiles },
    { objective: 'latency', top: 1, cuts: 'any', firstLayersOnDevice },
  )
  if (gap > 0) throw new RangeError('the search did not finish: a gain would be a guess')
  return plans[0]!.predictedMs
}

function gains(answers: readonly Answer[]): Figure[] {
  return (Object.keys(QUERIES) as QueryName[]).flatMap((query) => {
    const some = answers.filter((answer) => answer.query === query)
    const gainOf = (better: 'singleMs' | 'graphMs') =>
      some.map((answer) => 1 - answer[better] / answer.originalMs).filter((gain) => gain > WORTH)
    const [single, graph] = [gainOf('singleMs'), gainOf('graphMs')]
    const percent = (part: number) => 100 * part
    const mean = (all: readonly number[]) =>
      all.reduce((sum, gain) => sum + gain, 0) / Math.max(1, all.length)
    return [
      figure(
        `${query}: queries answered better than by the original`,
        percent(graph.length / some.length),
        '%',
        'higher',
        null,
        {
          name: 'single-tensor cuts only',
          value: percent(single.length / some.length),
        },
      ),
      figure(`${query}: mean gain there`, percent(mean(graph)), '%', 'higher', null, {
        name: 'single-tensor cuts only',
        value: percent(mean(single)),
      }),
      figure(
        `${query}: largest gain`,
        percent(graph.length > 0 ? nearestRank(graph, 1) : 0),
        '%',
        'higher',
        null,
      ),
    ]
  })
}
