/** The graph view against trying every placement, and against the chain view on the same networks. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bestOnGraph,
  type GraphProblem,
  type GraphQuery,
} from '../../../services/planner/optimiser/graph-view.ts'
import { optimise } from '../../../services/planner/optimiser/index.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { EXACT, FREE, MEASURED, type Numbers, problemOf, problems } from './problems.ts'

const TIMEOUT_MS = 120_000

interface Edges {
  /** Per layer, which of the tensors before it (0 is the graph's input) it takes. */
  inputs: number[][]
  bytes: number[]
  outputs: boolean[]
}

/** The problem with its layers wired as a graph, and boundaries to match: frontiers as shared/contracts/model.ts says. */
function wire(problem: GraphProblem, { inputs, bytes, outputs }: Edges): GraphProblem {
  const layers = problem.structure.layers.map((layer, index) => ({
    ...layer,
    inputs: inputs[index]!.map((tensor) => `t${tensor}`),
    outputs: [{ ...layer.outputs[0]!, bytes: bytes[index + 1]! }],
  }))
  const isOutput = (tensor: number) =>
    tensor > 0 && (outputs[tensor - 1]! || !inputs.some((taken) => taken.includes(tensor)))
  const isNeeded = (tensor: number, k: number) =>
    isOutput(tensor) || inputs.some((taken, layer) => layer >= k && taken.includes(tensor))
  const spec = (tensor: number) => ({ ...layers[0]!.outputs[0]!, name: `t${tensor}`, bytes: bytes[tensor]! })
  const boundaries = problem.structure.boundaries.map((boundary) => {
    const frontier = bytes
      .map((_, tensor) => tensor)
      .filter((t) => t <= boundary.k && isNeeded(t, boundary.k))
    return {
      ...boundary,
      allowed: true,
      clean: true,
      bytes: frontier.reduce((sum, tensor) => sum + bytes[tensor]!, 0),
    }
  })
  return {
    ...problem,
    structure: {
      ...problem.structure,
      layers,
      boundaries,
      inputs: [spec(0)],
      outputs: layers.flatMap((_, index) => (isOutput(index + 1) ? [spec(index + 1)] : [])),
    },
  }
}

function graphs(numbers: Numbers, mostLayers: number): fc.Arbitrary<GraphProblem> {
  return problems(numbers, mostLayers).chain((problem) => {
    const layers = problem.structure.layers.map((layer) => layer.index)
    const taken = layers.map((layer) =>
      fc.subarray(layers.slice(0, layer + 1), {
        minLength: layer === 0 ? 1 : 0,
        maxLength: Math.min(3, layer + 1),
      }),
    )
    return fc
      .record({
        inputs: fc.tuple(...taken),
        bytes: fc.array(numbers.bytes, { minLength: layers.length + 1, maxLength: layers.length + 1 }),
        outputs: fc.array(
          fc.nat({ max: 5 }).map((value) => value === 0),
          { minLength: layers.length, maxLength: layers.length },
        ),
      })
      .map((edges) =>
        wire({ ...problem, structure: { ...problem.structure, inputs: [], outputs: [] } }, edges),
      )
  })
}

/** Least latency over every resource for every layer; Infinity when none can be. */
function tryAll(problem: GraphProblem, source: string, query: GraphQuery): number {
  const { layers } = problem.structure
  const tierOf = (name: string) => problem.resources.find((one) => one.name === name)!.tierIndex
  const places = problem.resources.filter(
    ({ name, tierIndex }) => name === source || tierIndex > tierOf(source),
  )
  const usable = places.filter(({ name }) => problem.profiles.some((profile) => profile.resource === name))
  let best = Infinity
  const placement: string[] = []
  const place = (layer: number): void => {
    if (layer === layers.length) {
      best = Math.min(best, price(problem, source, placement))
      return
    }
    for (const { name } of usable) {
      if (layer < (query.firstLayersOnDevice ?? 0) && name !== source) continue
      const mate = query.together?.find(([, b]) => b === layer)?.[0]
      if (mate !== undefined && placement[mate] !== name) continue
      const ahead = layers.slice(0, layer).some((maker) => {
        const feeds = layers[layer]!.inputs.includes(maker.outputs[0]!.name)
        const at = placement[maker.index]!
        return feeds && at !== name && tierOf(at) >= tierOf(name)
      })
      const rival = placement.slice(0, layer).some((at) => at !== name && tierOf(at) === tierOf(name))
      if (ahead || rival) continue
      placement[layer] = name
      place(layer + 1)
    }
  }
  place(0)
  return best
}

function price(problem: GraphProblem, source: string, placement: readonly string[]): number {
  const { layers, inputs, outputs } = problem.structure
  const tierOf = (name: string) => problem.resources.find((one) => one.name === name)!.tierIndex
  const used = [...new Set([source, ...placement.slice(0, layers.length)])].sort(
    (a, b) => tierOf(a) - tierOf(b),
  )
  const step = (name: string) => used.indexOf(name)
  let ms = 0
  for (const layer of layers) {
    const name = placement[layer.index]!
    const { slowdown } = problem.resources.find((one) => one.name === name)!
    ms += problem.profiles.find((one) => one.resource === name)!.layerMs[layer.index]! * slowdown
  }
  const tensors = [
    ...inputs.map((tensor) => ({ tensor, at: 0 })),
    ...layers.map((layer) => ({ tensor: layer.outputs[0]!, at: step(placement[layer.index]!) })),
  ]
  const answer = outputs.reduce((sum, tensor) => sum + tensor.bytes, 0)
  for (let hop = 0; hop + 1 < used.length; hop += 1) {
    const link = problem.links.find((one) => one.from === used[hop] && one.to === used[hop + 1])
    if (!link) return Infinity
    ms += link.rttMs + (answer * 8) / 1000 / link.returnBandwidthMbps
    for (const { tensor, at } of tensors) {
      const consumers = layers.filter((layer) => layer.inputs.includes(tensor.name))
      const later = consumers.some((layer) => step(placement[layer.index]!) > hop)
      const crosses = at <= hop && (later || outputs.some(({ name }) => name === tensor.name))
      if (crosses) ms += (tensor.bytes * 8) / 1000 / link.bandwidthMbps
    }
  }
  return ms
}

function solve(problem: GraphProblem, query: GraphQuery): number {
  try {
    const { predictedMs, gapMs } = bestOnGraph(problem, query)
    expect(gapMs).toBe(0)
    return predictedMs
  } catch (error) {
    if (error instanceof Error && /no resource can run/.test(error.message)) return Infinity
    throw error
  }
}

describe('the graph view', { timeout: TIMEOUT_MS }, () => {
  it.each([
    ['small whole numbers', EXACT, 1000],
    ['numbers as they are measured', MEASURED, 1000],
  ] as const)('finds the best of all placements, with %s', (_, numbers, numRuns) => {
    const seen = { placed: 0, parallel: 0 }
    const cases = graphs(numbers, 5).chain((problem) => {
      const layers = problem.structure.layers.length
      return fc.record({
        problem: fc.constant(problem),
        first: fc.oneof(
          { weight: 3, arbitrary: fc.constant(0) },
          { weight: 1, arbitrary: fc.nat({ max: layers }) },
        ),
        mates: fc.oneof(
          { weight: 3, arbitrary: fc.constant([]) },
          { weight: 1, arbitrary: fc.constant(layers > 2 ? [[0, 2] as const] : []) },
        ),
      })
    })
    fc.assert(
      fc.property(cases, ({ problem, first, mates }) => {
        const source = problem.resources[0]!.name
        const query = { source, firstLayersOnDevice: first, together: mates }
        const expected = tryAll(problem, source, query)
        const found = solve(problem, query)
        if (expected === Infinity) expect(found).toBe(Infinity)
        else expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-9 * expected)
        if (expected < Infinity) seen.placed += 1
        const chain = chainMs(problem, query)
        if (mates.length === 0) expect(found).toBeLessThanOrEqual(chain * (1 + 1e-9))
        if (mates.length === 0 && found < chain * (1 - 1e-9)) seen.parallel += 1
      }),
      { numRuns, seed: 7 },
    )
    expect(seen.placed).toBeGreaterThan(numRuns / 2)
    // In some of them only a cut through parallel branches is best: the chain view cannot find that.
    expect(seen.parallel).toBeGreaterThan(numRuns / 100)
  })

  it('says by how much a better placement could be faster when it did not try all', () => {
    const layers = 400
    const cost = (ms: number) => Array.from({ length: layers }, () => ms)
    const plain = problemOf(
      Array.from({ length: layers + 1 }, () => ({ bytes: 0 })),
      {
        device: { tier: 'device', tierIndex: 0, layerMs: cost(10) },
        edge: { tier: 'edge', tierIndex: 1, layerMs: cost(100) },
        cloud: { tier: 'cloud', tierIndex: 2, layerMs: cost(0) },
      },
      {
        'device>edge': { rttMs: 1, mbps: 1, returnMbps: 1 },
        'edge>cloud': { rttMs: 1, mbps: 1, returnMbps: 1 },
        'device>cloud': { rttMs: 1000, mbps: 1, returnMbps: 1 },
      },
    )
    const problem = wire(
      { ...plain, structure: { ...plain.structure, inputs: [], outputs: [] } },
      {
        inputs: cost(0).map((_, layer) => [layer]),
        bytes: [0, ...cost(0)],
        outputs: cost(0).map(() => false),
      },
    )
    // The edge may not merely pass on: one layer there, 100 ms, and 2 ms of round trips.
    const { predictedMs, gapMs, path } = bestOnGraph(problem)
    expect([predictedMs, gapMs, path]).toEqual([102, 100, ['device', 'edge', 'cloud']])
    expect(() => bestOnGraph(problem, { source: 'devise' })).toThrow('did you mean device?')
    expect(() => bestOnGraph(problem, { firstLayersOnDevice: 401 })).toThrow('from 0 to 400, got: 401')
  })

  it('agrees with the chain view where the network is a chain', () => {
    fc.assert(
      fc.property(problems(MEASURED, 7), (plain) => {
        const layers = plain.structure.layers
        const problem = wire(
          { ...plain, structure: { ...plain.structure, inputs: [], outputs: [] } },
          {
            inputs: layers.map((layer) => [layer.index]),
            bytes: plain.structure.boundaries.map((boundary) => boundary.bytes),
            outputs: layers.map(() => false),
          },
        )
        const query = { source: problem.resources[0]!.name }
        const chain = chainMs(problem, query)
        const found = solve(problem, query)
        if (chain === Infinity) expect(found).toBe(Infinity)
        else expect(Math.abs(found - chain)).toBeLessThanOrEqual(1e-9 * chain)
      }),
      { numRuns: 300, seed: 8 },
    )
  })
})

function chainMs(problem: GraphProblem, { source, firstLayersOnDevice }: GraphQuery): number {
  try {
    return optimise(problem, { ...FREE, source, firstLayersOnDevice, cuts: 'any', top: 1 }).plans[0]!
      .predictedMs
  } catch (error) {
    if (error instanceof ScissionError && /infeasible|notMeasured/.test(error.code)) return Infinity
    throw error
  }
}
