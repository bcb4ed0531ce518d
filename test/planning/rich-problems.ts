/** Arbitrary problems and queries with every kind of decision and constraint. */
import * as fc from 'fast-check'
import type { OptimiserQuery, Problem } from '../../shared/planning/index.ts'
import { OBJECTIVES } from '../../shared/contracts/plan.ts'
import { callMsOf, type Numbers, problems, queries, stopsOf } from './problems.ts'

const CODECS = ['q8', 'zstd'] as const
const LOSSES = [0, 0.25, 0.5]

/** How often of ten. */
function inTen<T>(times: number, value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof(
    { weight: 10 - times, arbitrary: fc.constant(undefined) },
    { weight: times, arbitrary: value },
  )
}

/**
 * Small problems with costs of beginning and ending, intervals, several runtime options, codecs, figures, costs per
 * message, uncertain links and layers with two outputs. With EXACT numbers all sums stay exact.
 */
export function richProblems(numbers: Numbers): fc.Arbitrary<Problem> {
  return problems(numbers, 5)
    .filter(({ resources }) => resources.length <= 5)
    .chain((problem) =>
      fc
        .record({
          structure: structures(problem, numbers),
          profiles: fc.tuple(...problem.profiles.map((profile) => profiles(profile, numbers))),
          ownOptions: fc.boolean(),
          links: fc.tuple(...problem.links.map((link) => links(link, numbers))),
          codecs: codecs(problem),
          figures: figures(problem, numbers),
        })
        .map(({ structure, profiles: all, ownOptions, links: changed, codecs: some, figures: given }) => ({
          structure,
          resources: problem.resources.map((one) =>
            ownOptions ? { ...one, options: { threads: 1, optimisation: 'all' as const } } : one,
          ),
          profiles: all.flat(),
          links: changed,
          codecs: some,
          figures: given,
        })),
    )
}

function structures({ structure }: Problem, numbers: Numbers): fc.Arbitrary<Problem['structure']> {
  const second = inTen(3, numbers.bytes)
  return fc.tuple(...structure.layers.map(() => second)).map((bytes) => ({
    ...structure,
    layers: structure.layers.map((layer, at) => ({
      ...layer,
      outputs: [
        ...layer.outputs,
        ...(bytes[at] === undefined ? [] : [{ ...layer.outputs[0]!, name: `second${at}`, bytes: bytes[at] }]),
      ],
    })),
  }))
}

type OneProfile = Problem['profiles'][number]

function profiles(profile: OneProfile, numbers: Numbers): fc.Arbitrary<OneProfile[]> {
  const boundaries = profile.layerMs.length + 1
  const sizes = { minLength: boundaries, maxLength: boundaries }
  const cutCosts = fc.array(
    fc
      .tuple(numbers.cost, fc.integer({ min: 0, max: 5 }))
      .map(([ms, sign]) => (sign === 0 ? -ms / 2 : ms / 2)),
    sizes,
  )
  const speed = inTen(
    8,
    fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 })).map(([encode, decode]) => ({
      encodeMsPerMb: encode * 1e6,
      decodeMsPerMb: decode * 1e6,
    })),
  )
  const one = fc
    .record({
      layerMs: fc.array(numbers.cost, { minLength: boundaries - 1, maxLength: boundaries - 1 }),
      enterMs: inTen(3, cutCosts),
      exitMs: inTen(3, cutCosts),
      interval: inTen(
        3,
        fc.record({
          confidence: fc.constant(0.95),
          relative: fc.constantFrom(0, 0.5, 1),
          fixedMs: fc.nat({ max: 2 }),
        }),
      ),
      speeds: fc.tuple(speed, speed),
    })
    .map(({ speeds, ...rest }) => ({
      ...rest,
      callMs: callMsOf(rest.layerMs),
      stops: stopsOf(rest.layerMs),
      codecs: CODECS.flatMap((codec, at) => (speeds[at] ? [{ codec, ...speeds[at] }] : [])),
    }))
  return fc
    .tuple(one, inTen(2, one))
    .map(([first, second]) => [
      { ...profile, ...first, options: { threads: 1, optimisation: 'all' as const } },
      ...(second ? [{ ...profile, ...second, options: { threads: 2, optimisation: 'all' as const } }] : []),
    ])
}

type OneLink = Problem['links'][number]

function links(link: OneLink, numbers: Numbers): fc.Arbitrary<OneLink> {
  return fc
    .record({
      perMessageMs: inTen(3, numbers.cost),
      jitterMs: inTen(3, numbers.cost),
      uncertain: inTen(3, fc.constantFrom(0.5, 0.75)),
    })
    .map(({ perMessageMs, jitterMs, uncertain }) => ({
      ...link,
      perMessageMs,
      jitterMs,
      ...(uncertain === undefined
        ? {}
        : {
            uncertainty: {
              rttMs: uncertain,
              bandwidthMbps: link.bandwidthMbps / 2,
              returnBandwidthMbps: link.returnBandwidthMbps / 2,
            },
          }),
    }))
}

function codecs({ structure }: Problem): fc.Arbitrary<NonNullable<Problem['codecs']>> {
  const cell = inTen(
    6,
    fc.record({
      bytesRatio: fc.constantFrom(0, 0.25, 0.5, 0.75, 1.25),
      accuracyLoss: fc.constantFrom(...LOSSES),
    }),
  )
  const cells = fc.tuple(...structure.boundaries.map(() => cell))
  return fc.tuple(cells, cells).map((both) =>
    CODECS.map((name, at) => ({
      name,
      cells: both[at]!.flatMap((one, boundary) =>
        one === undefined ? [] : [{ boundary, ...one, accuracyLoss: name === 'zstd' ? 0 : one.accuracyLoss }],
      ),
    })),
  )
}

function figures({ resources }: Problem, numbers: Numbers): fc.Arbitrary<NonNullable<Problem['figures']>> {
  const record = fc
    .tuple(...resources.map(() => numbers.cost))
    .map((costs) => Object.fromEntries(resources.map(({ name }, at) => [name, costs[at]!])))
  return fc.record({
    busyWatts: record,
    idleWatts: inTen(5, record),
    transmitWatts: inTen(5, record),
    pricePerSecond: record,
    pricePerGb: inTen(5, record),
  })
}

/** Limits on sums that exclude some plans, for problems of EXACT numbers. */
const limits = {
  bytes: fc.integer({ min: 0, max: 15 }),
  energyJ: fc.integer({ min: 0, max: 600 }).map((mJ) => mJ / 1000),
  price: fc.integer({ min: 0, max: 300 }).map((micro) => micro / 1000),
}

/** Any conjunction of every kind of constraint, under every objective. */
export function richQueries(problem: Problem): fc.Arbitrary<OptimiserQuery> {
  const tiers = [...new Set(problem.resources.map((resource) => resource.tier))]
  const tensors = problem.structure.layers.flatMap(({ outputs }) => outputs.map(({ name }) => name))
  const extra = fc.record({
    objective: fc.constantFrom(...OBJECTIVES, 'latency' as const, 'weighted' as const),
    weights: fc.record({
      latency: fc.nat({ max: 2 }),
      throughput: fc.nat({ max: 2 }),
      bytes: fc.nat({ max: 2 }),
      energy: fc.nat({ max: 2 }),
      price: fc.integer({ min: 1, max: 2 }),
    }),
    distinct: fc.constantFrom('plans' as const, 'plans' as const, 'plans' as const, 'resources' as const),
    confidence: inTen(2, fc.constant('upper' as const)),
    codecs: inTen(2, fc.subarray(['none', ...CODECS])),
    maxAccuracyLoss: fc.constantFrom(0, 0, 0.25, 0.5, 0.75, 1),
    tensorOnDevice: inTen(1, fc.constantFrom('t0', ...tensors)),
    maxTierShare: inTen(
      2,
      fc.dictionary(fc.constantFrom(...tiers), fc.constantFrom(0, 25, 50, 75, 100), { minKeys: 1 }),
    ),
    maxTotalUploadBytes: inTen(2, limits.bytes),
    maxEnergyJ: inTen(2, limits.energyJ),
    maxPrice: inTen(2, limits.price),
    fewStages: inTen(1, fc.integer({ min: 1, max: 2 })),
  })
  // With every kind of constraint in every query, hardly any plan would be left.
  return fc.tuple(queries(problem), extra, fc.boolean()).map(([plain, { fewStages, ...more }, bare]) => {
    const { objective, top, source, cuts } = plain
    const stages = fewStages === undefined ? {} : { minStages: undefined, maxStages: fewStages }
    return { ...(bare ? { objective, top, source, cuts } : plain), ...more, ...stages }
  })
}
