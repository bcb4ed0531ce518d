/** Random small graphs over tiers of resources, and queries with any conjunction of constraints. */
import * as fc from 'fast-check'
import type { GraphProblem, OptimiserQuery, PlanningProfile } from '../../shared/planning/index.ts'
import { callMsOf, MODEL, type Numbers, SHAPES, stopsOf } from './problems.ts'

export interface LayerWires {
  /** Tensors taken: 0 and 1 are the graph's inputs, then the outputs of the layers before, in order. */
  inputs: number[]
  /** Bytes of each output. */
  outputs: number[]
  isOutput: boolean
  weightBytes: number
}

export interface BoundaryMarks {
  clean: boolean
  allowed: boolean
}

/** Boundaries as shared/contracts/model.ts says: made before and needed after, outputs of the graph always. */
export function graphStructure(
  inputBytes: readonly number[],
  wires: readonly LayerWires[],
  marks: readonly BoundaryMarks[],
): GraphProblem['structure'] {
  const spec = (name: string, bytes: number) => ({ name, datatype: 'FP32' as const, shape: [1], bytes })
  const inputs = inputBytes.map((bytes, at) => spec(`t${at}`, bytes))
  let next = inputs.length
  const made = wires.map(({ outputs }) =>
    outputs.map((bytes) => {
      next += 1
      return spec(`t${next - 1}`, bytes)
    }),
  )
  const taken = wires.map((wire) => wire.inputs.map((tensor) => `t${tensor}`))
  const isTaken = (name: string, from: number) => taken.slice(from).some((names) => names.includes(name))
  const outputs = made.flatMap((specs, at) =>
    specs.filter(({ name }) => wires[at]!.isOutput || !isTaken(name, at + 1)),
  )
  const layers = wires.map(({ weightBytes }, index) => ({
    index,
    name: `layer${index}`,
    op: 'Conv',
    inputs: taken[index]!,
    outputs: made[index]!,
    weightBytes,
    macs: null,
  }))
  const boundaries = Array.from({ length: wires.length + 1 }, (_, k) => {
    const before = [...inputs, ...made.slice(0, k).flat()]
    const frontier = before.filter(({ name }) => outputs.some((one) => one.name === name) || isTaken(name, k))
    return {
      k,
      tensors: frontier.map(({ name }) => name),
      bytes: frontier.reduce((sum, { bytes }) => sum + bytes, 0),
      single: frontier.length === 1,
      clean: marks[k]?.clean ?? true,
      allowed: marks[k]?.allowed ?? true,
    }
  })
  return { model: MODEL, shapesKey: SHAPES, layers, boundaries, inputs, outputs }
}

function structures(numbers: Numbers, mostLayers: number): fc.Arbitrary<GraphProblem['structure']> {
  const inputBytes = fc.array(numbers.bytes, { minLength: 1, maxLength: 2 })
  const shape = fc.array(fc.array(numbers.bytes, { minLength: 1, maxLength: 2 }), {
    minLength: 1,
    maxLength: mostLayers,
  })
  return fc.tuple(inputBytes, shape).chain(([given, outputs]) => {
    let before = given.length
    const wires = outputs.map((own) => {
      const tensors = Array.from({ length: before }, (_, tensor) => tensor)
      before += own.length
      return fc.record({
        inputs: fc.subarray(tensors, { minLength: 1, maxLength: Math.min(3, tensors.length) }),
        outputs: fc.constant(own),
        isOutput: fc.nat({ max: 5 }).map((value) => value === 0),
        weightBytes: fc.integer({ min: 0, max: 9 }),
      })
    })
    const marks = fc.array(
      fc.record({
        clean: fc.nat({ max: 7 }).map((value) => value > 0),
        allowed: fc.nat({ max: 9 }).map((value) => value > 0),
      }),
      { minLength: outputs.length + 1, maxLength: outputs.length + 1 },
    )
    return fc
      .tuple(fc.tuple(...wires), marks)
      .map(([made, marked]) => graphStructure(given, made as LayerWires[], marked))
  })
}

const rarely = fc.nat({ max: 9 }).map((value) => value === 0)

function profiles(numbers: Numbers, resource: string, layers: number): fc.Arbitrary<PlanningProfile[]> {
  const profile = (threads: number) =>
    fc
      .record({
        layerMs: fc.array(numbers.cost, { minLength: layers, maxLength: layers }),
        emulated: rarely,
        interval: fc.option(
          fc.record({
            confidence: fc.constant(0.95),
            relative: fc.constantFrom(0, 0.5, 1),
            fixedMs: fc.constantFrom(0, 1, 2),
          }),
          { nil: undefined },
        ),
      })
      .map((given) => ({
        ...given,
        resource,
        model: MODEL,
        shapesKey: SHAPES,
        options: { threads, optimisation: 'all' as const },
        callMs: callMsOf(given.layerMs),
        stops: stopsOf(given.layerMs),
      }))
  const one = profile(1).map((some): PlanningProfile[] => [some])
  const two = fc.tuple(profile(1), profile(2)).map((both): PlanningProfile[] => [...both])
  return fc.oneof(
    { weight: 1, arbitrary: fc.constant<PlanningProfile[]>([]) },
    { weight: 7, arbitrary: one },
    { weight: 2, arbitrary: two },
  )
}

/** 2–4 tiers, up to three resources each and five in all. */
export function graphProblems(numbers: Numbers, mostLayers: number): fc.Arbitrary<GraphProblem> {
  const counts = fc
    .array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 4 })
    .filter((some) => some.reduce((sum, count) => sum + count, 0) <= 5)
  return fc.tuple(structures(numbers, mostLayers), counts).chain(([structure, tiers]) => {
    const names = tiers.flatMap((count, tier) =>
      Array.from({ length: count }, (_, at) => ({ name: `t${tier}-${count - at}`, tier })),
    )
    const links = names
      .flatMap((from) => names.filter((to) => to.tier > from.tier).map((to) => [from.name, to.name] as const))
      .map(([from, to]) =>
        fc
          .record({
            missing: rarely,
            rttMs: numbers.cost,
            bandwidthMbps: numbers.mbps,
            returnBandwidthMbps: numbers.mbps,
            perMessageMs: fc.constantFrom(undefined, 0, 1),
            jitterMs: fc.constantFrom(undefined, 0, 2),
            uncertain: rarely,
            emulated: rarely,
          })
          .map(({ missing, uncertain, ...link }) => {
            const half = { rttMs: 1, bandwidthMbps: link.bandwidthMbps / 2, returnBandwidthMbps: 0 }
            const uncertainty = uncertain ? half : undefined
            return missing ? [] : [{ from, to, source: 'measured' as const, uncertainty, ...link }]
          }),
      )
    const resources = names.map(({ name, tier }) =>
      fc.record({
        resource: numbers.slowdown.map((slowdown) => ({
          name,
          tier: `tier${tier}`,
          tierIndex: 3 * tier,
          slowdown,
          emulated: slowdown > 1,
        })),
        profiles: profiles(numbers, name, structure.layers.length),
      }),
    )
    return fc.tuple(fc.tuple(...resources), fc.tuple(...links)).map(([made, linked]) => ({
      structure,
      resources: made.map(({ resource }) => resource),
      profiles: made.flatMap((one) => one.profiles),
      links: linked.flat(),
    }))
  })
}

export interface Odds {
  /** Each limit on a sum is there in one of so many queries; 0: never. */
  budgets: number
  objectives: readonly OptimiserQuery['objective'][]
}

export function graphQueries(problem: GraphProblem, odds: Odds): fc.Arbitrary<OptimiserQuery> {
  const layers = problem.structure.layers.length
  const names = problem.resources.map(({ name }) => name)
  const tiers = [...new Set(problem.resources.map(({ tier }) => tier))]
  const tensors = problem.structure.layers.flatMap(({ outputs }) => outputs.map(({ name }) => name))
  const oneIn = <T>(times: number, value: fc.Arbitrary<T>) =>
    times === 0
      ? fc.constant(undefined)
      : fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })
  const some = (from: readonly string[]) => oneIn(8, fc.subarray([...from], { minLength: 1, maxLength: 2 }))
  const pins = fc
    .tuple(fc.nat({ max: layers - 1 }), fc.nat({ max: 2 }), fc.constantFrom(...tiers))
    .map(([from, more, tier]) => [
      more === 0 ? `${from}:${tier}` : `${from}-${Math.min(layers, from + more + 1)}:${tier}`,
    ])
  const byName = (keys: readonly string[], value: fc.Arbitrary<number>) =>
    oneIn(odds.budgets, fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 1, maxKeys: 2 }))
  const figures = fc.dictionary(fc.constantFrom(...names), fc.constantFrom(0, 1, 2, 4), { minKeys: 1 })
  const upTo = (max: number) => fc.integer({ min: 0, max })
  return fc
    .record({
      objective: fc.constantFrom(...odds.objectives),
      weights: fc.constant({ latency: 1, throughput: 0, bytes: 0.5, energy: 2, price: 3 }),
      top: fc.constantFrom(1, 1, 3),
      cuts: fc.constantFrom('clean' as const, 'any' as const),
      confidence: fc.constantFrom('median' as const, 'median' as const, 'upper' as const),
      source: fc.constantFrom(names[0]!, names[0]!, ...names.slice(0, 2)),
      mustUseTiers: some(tiers),
      mustNotUseTiers: some(tiers),
      mustUseResources: some(names),
      mustNotUseResources: some(names),
      firstLayersOnDevice: oneIn(8, fc.integer({ min: 0, max: layers })),
      tensorOnDevice: oneIn(10, fc.constantFrom(...tensors)),
      mustRunLayers: oneIn(10, pins),
      mustNotRunLayers: oneIn(10, pins),
      minStages: oneIn(10, fc.integer({ min: 1, max: 3 })),
      maxStages: oneIn(8, fc.integer({ min: 1, max: 3 })),
      maxTierMs: byName(tiers, upTo(30)),
      maxTierShare: byName(tiers, fc.constantFrom(0, 25, 50, 75)),
      maxUploadBytes: byName(tiers, upTo(15)),
      maxTotalUploadBytes: oneIn(odds.budgets, upTo(25)),
      maxMemoryBytes: byName(names, upTo(40)),
      maxLatencyMs: oneIn(odds.budgets, fc.integer({ min: 1, max: 80 })),
      minThroughput: oneIn(
        odds.budgets,
        fc.integer({ min: 2, max: 40 }).map((ms) => 1000 / ms),
      ),
      maxEnergyJ: oneIn(
        odds.budgets,
        upTo(60).map((value) => value / 250),
      ),
      maxPrice: oneIn(
        odds.budgets,
        upTo(60).map((value) => value / 1000),
      ),
      busyWatts: figures,
      idleWatts: figures,
      transmitWatts: figures,
      pricePerSecond: figures,
      pricePerGb: figures.map((some) =>
        Object.fromEntries(Object.entries(some).map(([name, value]) => [name, value * 1e6])),
      ),
    })
    .map((query) =>
      query.minStages !== undefined && query.maxStages !== undefined && query.minStages > query.maxStages
        ? { ...query, minStages: query.maxStages }
        : query,
    )
}
