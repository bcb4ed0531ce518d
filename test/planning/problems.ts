/** Problems for tests: one written by hand, and arbitrary small ones with arbitrary queries. */
import * as fc from 'fast-check'
import { ModelId, ShapesKey } from '../../shared/contracts/common.ts'
import type { OptimiserQuery, Problem, QuotaStops } from '../../shared/planning/index.ts'

/** A cost of each stage for about a fifth of all profiles: of the layers, so that it draws nothing from a seed. */
export const callMsOf = (layerMs: readonly number[]): number | undefined =>
  Math.round(layerMs.reduce((total, ms) => total + ms, 0)) % 5 === 3 ? 1 : undefined

/** The same, of a quota that stops stages. */
export const stopsOf = (layerMs: readonly number[]): QuotaStops | undefined => {
  const whole = Math.round(layerMs.reduce((total, ms) => total + ms, 0))
  return whole % 5 === 1 ? { ms: 2, perMs: 0.25, areExpected: whole % 2 === 1 } : undefined
}

/** The same problem on machines without quotas. */
export const withoutQuotas = <P extends Pick<Problem, 'profiles'>>(problem: P): P => ({
  ...problem,
  profiles: problem.profiles.map((one) => ({ ...one, stops: undefined })),
})

export const MODEL = ModelId.parse('ab'.repeat(32))
export const SHAPES = ShapesKey.parse('0123456789ab')

export interface ResourceFigures {
  tier: string
  tierIndex: number
  /** Undefined: no profile. */
  layerMs: number[] | undefined
  slowdown?: number
  emulated?: boolean
}

export interface LinkFigures {
  rttMs: number
  mbps: number
  returnMbps: number
  emulated?: boolean
}

export interface BoundaryFigures {
  bytes: number
  clean?: boolean
  allowed?: boolean
}

/** @param links by `from>to`; `boundaries` are 0..N. */
export function problemOf(
  boundaries: readonly BoundaryFigures[],
  resources: Record<string, ResourceFigures>,
  links: Record<string, LinkFigures>,
): Problem {
  return {
    structure: {
      model: MODEL,
      shapesKey: SHAPES,
      layers: boundaries.slice(1).map((_, index) => ({
        index,
        name: `layer${index}`,
        op: 'Conv',
        inputs: [`t${index}`],
        outputs: [{ name: `t${index + 1}`, datatype: 'FP32', shape: [1], bytes: (5 * index) % 4 }],
        weightBytes: 1 + ((7 * index) % 10),
        macs: null,
      })),
      boundaries: boundaries.map(({ bytes, clean = true, allowed = true }, k) => ({
        k,
        tensors: [`t${k}`],
        bytes,
        single: true,
        clean,
        allowed,
      })),
    },
    resources: Object.entries(resources).map(([name, { tier, tierIndex, slowdown = 1 }]) => ({
      name,
      tier,
      tierIndex,
      slowdown,
      emulated: slowdown > 1,
    })),
    profiles: Object.entries(resources).flatMap(([resource, { layerMs, emulated = false }]) =>
      layerMs ? [{ resource, model: MODEL, shapesKey: SHAPES, layerMs, emulated }] : [],
    ),
    links: Object.entries(links).map(([ends, { rttMs, mbps, returnMbps, emulated = false }]) => {
      const [from = '', to = ''] = ends.split('>')
      return {
        from,
        to,
        rttMs,
        bandwidthMbps: mbps,
        returnBandwidthMbps: returnMbps,
        source: 'measured',
        emulated,
      }
    }),
  }
}

export const FREE: OptimiserQuery = { objective: 'latency', top: 5, cuts: 'clean' }

/**
 * Four layers over device → edge → cloud. 1 Mbps carries 125 bytes per ms.
 * device alone 40 ms; edge alone 8 + 20 ms; cloud alone 30 + 4 ms; answers weigh nothing.
 */
export function threeTiers(): Problem {
  return problemOf(
    [{ bytes: 500 }, { bytes: 1000 }, { bytes: 125 }, { bytes: 250 }, { bytes: 0 }],
    {
      device: { tier: 'device', tierIndex: 0, layerMs: [10, 10, 10, 10] },
      edge: { tier: 'edge', tierIndex: 1, layerMs: [5, 5, 5, 5] },
      cloud: { tier: 'cloud', tierIndex: 2, layerMs: [1, 1, 1, 1] },
    },
    {
      'device>edge': { rttMs: 4, mbps: 1, returnMbps: 1 },
      'device>cloud': { rttMs: 10, mbps: 0.2, returnMbps: 0.2 },
      'edge>cloud': { rttMs: 2, mbps: 10, returnMbps: 10 },
    },
  )
}

export interface Numbers {
  cost: fc.Arbitrary<number>
  bytes: fc.Arbitrary<number>
  mbps: fc.Arbitrary<number>
  slowdown: fc.Arbitrary<number>
}

/** Small whole numbers and bandwidths of 2^n bytes per ms: sums are exact and many plans tie. */
export const EXACT: Numbers = {
  cost: fc.integer({ min: 0, max: 9 }),
  bytes: fc.integer({ min: 0, max: 9 }),
  mbps: fc.constantFrom(0.004, 0.008, 0.016, 0.032),
  slowdown: fc.constantFrom(1, 1, 2),
}

/** Numbers as they are measured: no two plans cost the same. */
export const MEASURED: Numbers = {
  cost: fc.double({ min: 0.001, max: 1000, noNaN: true }),
  bytes: fc.integer({ min: 0, max: 50_000_000 }),
  mbps: fc.double({ min: 0.1, max: 10_000, noNaN: true }),
  slowdown: fc.double({ min: 1, max: 20, noNaN: true }),
}

/** 2–4 tiers at odd positions, 1–3 resources each, links and profiles missing here and there. */
export function problems(numbers: Numbers, mostLayers = 7): fc.Arbitrary<Problem> {
  const tiers = fc
    .array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 4 })
    .filter((counts) => counts.reduce((sum, count) => sum + count, 0) <= 8)
  return fc
    .tuple(fc.constantFrom(1, ...range(2, mostLayers), ...range(2, mostLayers)), tiers)
    .chain(([layers, counts]) => {
      const names = counts.flatMap((count, tier) =>
        Array.from({ length: count }, (_, at) => ({ name: `t${tier}-${count - at}`, tier })),
      )
      const rarely = fc.nat({ max: 9 }).map((value) => value === 0)
      const boundary = fc.record({
        bytes: numbers.bytes,
        clean: fc.nat({ max: 2 }).map((value) => value > 0),
        allowed: rarely.map((value) => !value),
      })
      const figures = fc.record({
        layerMs: fc.array(numbers.cost, { minLength: layers, maxLength: layers }),
        missing: rarely,
        slowdown: numbers.slowdown,
        emulated: rarely,
      })
      const link = fc.record({
        missing: rarely,
        rttMs: numbers.cost,
        mbps: numbers.mbps,
        returnMbps: numbers.mbps,
        emulated: rarely,
      })
      const pairs = names.flatMap((from) =>
        names.filter((to) => to !== from).map((to) => [from, to] as const),
      )
      return fc
        .tuple(
          fc.array(boundary, { minLength: layers + 1, maxLength: layers + 1 }),
          fc.tuple(...names.map(() => figures)),
          fc.tuple(...pairs.map(() => link)),
        )
        .map(([boundaries, resources, links]) =>
          problemOf(
            boundaries,
            Object.fromEntries(
              names.map(({ name, tier }, at) => {
                const { layerMs, missing, slowdown, emulated } = resources[at]!
                const profile = missing ? undefined : layerMs
                return [name, { tier: `t${tier}`, tierIndex: 3 * tier, layerMs: profile, slowdown, emulated }]
              }),
            ),
            Object.fromEntries(
              pairs.flatMap(([from, to], at) => {
                const { missing, ...given } = links[at]!
                return missing ? [] : [[`${from.name}>${to.name}`, given]]
              }),
            ),
          ),
        )
    })
}

/** Limits that exclude some plans, for problems of EXACT numbers. */
const limits = {
  ms: fc.integer({ min: 2, max: 40 }),
  bytes: fc.integer({ min: 0, max: 9 }),
  memory: fc.integer({ min: 5, max: 50 }),
  latency: fc.integer({ min: 1, max: 80 }),
}

/** Queries with any conjunction of constraints; each kind is there in a sixth or a tenth of them. */
export function queries(problem: Problem): fc.Arbitrary<OptimiserQuery> {
  const layers = problem.structure.layers.length
  const pin = fc
    .tuple(fc.nat({ max: layers - 1 }), fc.nat({ max: 3 }), fc.constantFrom(...problem.resources))
    .map(([from, more, { tier }]) =>
      more < 2 || from + 1 === layers
        ? `${from}:${tier}`
        : `${from}-${Math.min(layers, from + more)}:${tier}`,
    )
  const names = problem.resources.map((resource) => resource.name)
  const tiers = [...new Set(problem.resources.map((resource) => resource.tier))]
  const sometimes = <T>(value: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })
  const rarely = <T>(value: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })
  const some = (from: readonly string[]) => sometimes(fc.subarray([...from], { minLength: 1, maxLength: 2 }))
  return fc
    .record({
      objective: fc.constantFrom('latency' as const, 'latency' as const, 'throughput' as const),
      top: fc.constantFrom(1, 2, 5, 50),
      source: fc.constantFrom(names[0]!, names[0]!, names[0]!, ...names.slice(0, 3)),
      mustUseTiers: some(tiers),
      mustNotUseTiers: some(tiers),
      mustUseResources: some(names),
      mustNotUseResources: some(names),
      firstLayersOnDevice: sometimes(fc.integer({ min: 0, max: problem.structure.layers.length })),
      mustRunLayers: rarely(fc.array(pin, { minLength: 1, maxLength: 2 })),
      mustNotRunLayers: rarely(fc.array(pin, { minLength: 1, maxLength: 2 })),
      maxTierMs: rarely(fc.dictionary(fc.constantFrom(...tiers), limits.ms, { minKeys: 1 })),
      maxUploadBytes: rarely(fc.dictionary(fc.constantFrom(...tiers), limits.bytes, { minKeys: 1 })),
      maxMemoryBytes: rarely(fc.dictionary(fc.constantFrom(...names), limits.memory, { minKeys: 1 })),
      maxLatencyMs: rarely(limits.latency),
      // Only what gives the same number of ms back: a plan that is exactly at the limit keeps it.
      minThroughput: rarely(
        limits.ms.map((ms) => 1000 / (ms + 1)).filter((perSecond) => Number.isInteger(1000 / perSecond)),
      ),
      minStages: sometimes(fc.integer({ min: 1, max: 3 })),
      maxStages: sometimes(fc.integer({ min: 3, max: 4 }).map((value) => value - 1)),
      cuts: fc.constantFrom('clean' as const, 'any' as const),
    })
    .map((query) =>
      query.minStages !== undefined && query.maxStages !== undefined && query.minStages > query.maxStages
        ? { ...query, minStages: query.maxStages }
        : query,
    )
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}
