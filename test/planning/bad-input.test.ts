import { describe, expect, it } from 'vitest'
import { evaluatePlan, optimise, type OptimiserQuery, type Problem } from '../../shared/planning/index.ts'
import { ModelId } from '../../shared/contracts/common.ts'
import { FREE, MODEL, SHAPES, threeTiers } from './problems.ts'

const given = threeTiers()
const SURE = { confidence: 0.95, relative: 0, fixedMs: 0 }
const EXACTLY = { rttMs: 0, bandwidthMbps: 0, returnBandwidthMbps: 0 }
const coded = (cell: Partial<{ boundary: number; bytesRatio: number; accuracyLoss: number }>) => ({
  name: 'q8',
  cells: [{ boundary: 1, bytesRatio: 0.5, accuracyLoss: 0, ...cell }],
})
const OTHER_MODEL = ModelId.parse('cd'.repeat(32))

describe('what cannot be planned with', () => {
  const queries: [Partial<OptimiserQuery>, string, string][] = [
    [{ source: 'devise' }, 'notFound', 'source: unknown resource "devise"; did you mean device?'],
    [
      { mustUseTiers: ['egde'] },
      'notFound',
      'unknown tier "egde"; did you mean edge? known: cloud, device, edge',
    ],
    [{ mustNotUseResources: ['mainframe'] }, 'notFound', 'unknown resource "mainframe"; known: cloud'],
    [{ firstLayersOnDevice: 5 }, 'badRequest', 'must be a whole number from 0 to 4, got: 5'],
    [{ firstLayersOnDevice: -1 }, 'badRequest', 'from 0 to 4, got: -1'],
    [{ minStages: 3, maxStages: 2 }, 'badRequest', 'maxStages must be a whole number from 3 to 100, got: 2'],
    [{ mustRunLayers: ['3-3:edge'] }, 'badRequest', '"3-3:edge" must be <layer>:<tier>'],
    [{ mustNotRunLayers: ['4:edge'] }, 'badRequest', 'with 0 ≤ from < to ≤ 4'],
    [{ mustRunLayers: ['0:fog'] }, 'notFound', 'mustRunLayers: unknown tier "fog"'],
    [{ maxTierMs: { clod: 3 } }, 'notFound', 'unknown tier "clod"; did you mean cloud?'],
    [{ maxMemoryBytes: { edge: Number.NaN } }, 'badRequest', 'edge must be 0 or more, got: NaN'],
    [{ maxLatencyMs: 0 }, 'badRequest', 'maxLatencyMs: must be above 0, got: 0'],
    [{ top: 1e9 }, 'badRequest', 'top must be a whole number from 1 to 1000'],
    [{ top: Number.NaN }, 'badRequest', 'got: NaN'],
    [{ tensorOnDevice: 'T3' }, 'notFound', 'tensorOnDevice: unknown tensor "T3"; did you mean t3?'],
    [{ codecs: ['q8'] }, 'notFound', 'codecs: unknown codec "q8"; known: none'],
    [{ maxTierShare: { edge: 101 } }, 'badRequest', 'edge must be from 0 to 100 percent, got: 101'],
    [{ maxTierShare: { edge: -1 } }, 'badRequest', 'percent, got: -1'],
    [{ maxTierShare: { egde: 5 } }, 'notFound', 'unknown tier "egde"; did you mean edge?'],
    [{ maxTotalUploadBytes: -1 }, 'badRequest', 'maxTotalUploadBytes: must be 0 or more, got: -1'],
    [{ maxTotalUploadBytes: Infinity }, 'badRequest', 'got: Infinity'],
    [{ maxAccuracyLoss: 1.5 }, 'badRequest', 'maxAccuracyLoss: must be from 0 to 1, got: 1.5'],
    [{ maxAccuracyLoss: Number.NaN }, 'badRequest', 'got: NaN'],
    [{ timeLimitMs: 0 }, 'badRequest', 'timeLimitMs: must be above 0, got: 0'],
    [{ minThroughput: Infinity }, 'badRequest', 'minThroughput: must be above 0, got: Infinity'],
    [{ objective: 'energy' }, 'badRequest', 'energy needs watts: give busyWatts, idleWatts or transmitWatts'],
    [{ maxEnergyJ: 1 }, 'badRequest', 'energy needs watts'],
    [{ pareto: ['latency', 'price'] }, 'badRequest', 'a price needs prices: give pricePerSecond'],
    [{ maxPrice: 1 }, 'badRequest', 'a price needs prices'],
    [{ maxPrice: -1, pricePerGb: { edge: 1 } }, 'badRequest', 'maxPrice: must be 0 or more, got: -1'],
    [{ maxEnergyJ: Number.NaN, busyWatts: { edge: 1 } }, 'badRequest', 'got: NaN'],
    [{ busyWatts: { edeg: 1 } }, 'notFound', 'busyWatts: unknown resource "edeg"; did you mean edge?'],
    [
      { idleWatts: { edge: -2 } },
      'badRequest',
      'idleWatts of edge must be a finite number, 0 or more, got: -2',
    ],
    [{ objective: 'weighted' }, 'badRequest', 'the objective weighted needs a weight above 0'],
    [{ objective: 'weighted', weights: { latency: 0 } }, 'badRequest', 'needs a weight above 0'],
    [{ objective: 'weighted', weights: { latency: -1 } }, 'badRequest', 'latency must be 0 or more, got: -1'],
    [{ pareto: ['latency'] }, 'badRequest', 'must be 2 to 4 different objectives, got: latency'],
    [{ pareto: ['latency', 'latency'] }, 'badRequest', 'must be 2 to 4 different objectives'],
  ]
  it.each(queries)('refuses the query %j', (query, code, message) => {
    const attempt = () => optimise(given, { ...FREE, ...query })
    expect(attempt).toThrow(expect.objectContaining({ code }))
    expect(attempt).toThrow(message)
  })

  const [device, ...others] = given.profiles
  const [first, ...links] = given.links
  const problems: [string, Partial<Problem>][] = [
    ['profile of device has 3 layers, the model has 4', { profiles: [{ ...device!, layerMs: [1, 2, 3] }] }],
    ['layerMs[1] must be a finite number', { profiles: [{ ...device!, layerMs: [1, Number.NaN, 3, 4] }] }],
    ['layerMs[2] must be a finite number', { profiles: [{ ...device!, layerMs: [1, 2, -3, 4] }] }],
    ['not of the one planned', { profiles: [{ ...device!, model: OTHER_MODEL }] }],
    ['device given twice', { profiles: [device!, device!, ...others] }],
    ['rttMs of link device → edge', { links: [{ ...first!, rttMs: Infinity }, ...links] }],
    ['bandwidthMbps of link device → edge', { links: [{ ...first!, bandwidthMbps: 0 }, ...links] }],
    ['device → edge given twice', { links: [first!, first!] }],
    ['slowdown of device', { resources: given.resources.map((one) => ({ ...one, slowdown: -1 })) }],
    ['each tier needs one position', { resources: given.resources.map((one) => ({ ...one, tierIndex: 0 })) }],
    ['enterMs has 2 entries, the model has 5 boundaries', { profiles: [{ ...device!, enterMs: [0, 0] }] }],
    ['exitMs[1] must be a finite number', { profiles: [{ ...device!, exitMs: [0, Infinity, 0, 0, 0] }] }],
    ['interval.relative must be', { profiles: [{ ...device!, interval: { ...SURE, relative: -1 } }] }],
    ['interval.fixedMs must be', { profiles: [{ ...device!, interval: { ...SURE, fixedMs: Number.NaN } }] }],
    [
      'speed of codec q8 must be a finite number',
      { profiles: [{ ...device!, codecs: [{ codec: 'q8', encodeMsPerMb: -1, decodeMsPerMb: 0 }] }] },
    ],
    ['codec q8 at boundary 9: the model has boundaries 0..4', { codecs: [coded({ boundary: 9 })] }],
    ['bytesRatio of codec q8 at boundary 1', { codecs: [coded({ bytesRatio: Number.NaN })] }],
    ['accuracyLoss of codec q8 at boundary 1 must be from 0 to 1', { codecs: [coded({ accuracyLoss: 2 })] }],
    ['codecs q8 given twice', { codecs: [coded({}), coded({})] }],
    ['perMessageMs of link device → edge', { links: [{ ...first!, perMessageMs: -1 }, ...links] }],
    ['jitterMs of link device → edge', { links: [{ ...first!, jitterMs: -1 }, ...links] }],
    [
      'uncertainty.rttMs of link device → edge',
      { links: [{ ...first!, uncertainty: { ...EXACTLY, rttMs: -1 } }, ...links] },
    ],
    ['pricePerGb of edge must be a finite number', { figures: { pricePerGb: { edge: Infinity } } }],
    ['the model has no layers', { structure: { ...given.structure, layers: [] } }],
    ['must be the boundaries 0..4', { structure: { ...given.structure, boundaries: [] } }],
  ]
  it.each(problems)('refuses a problem: %s', (message, change) => {
    const attempt = () => optimise({ ...given, ...change }, FREE)
    expect(attempt).toThrow(expect.objectContaining({ code: 'badRequest' }))
    expect(attempt).toThrow(message)
  })

  it('says so when there is no resource, or none with a profile', () => {
    expect(() => optimise({ ...given, resources: [] }, FREE)).toThrow('there are no resources')
    const attempt = () => optimise({ ...given, profiles: [] }, FREE)
    expect(attempt).toThrow(expect.objectContaining({ code: 'notMeasured' }))
    expect(attempt).toThrow('device: it has no profile of this model')
  })
})

describe('pricing a plan that an id names', () => {
  const parts = { model: MODEL, shapesKey: SHAPES, source: 'device' }
  const priced = (...stages: [string, number, number][]) =>
    evaluatePlan(given, { ...parts, stages: stages.map(([resource, from, to]) => ({ resource, from, to })) })

  it('gives the same plan as the optimiser', () => {
    const { plans } = optimise(given, { ...FREE, top: 100 })
    for (const { id: _, ...plan } of plans)
      expect(evaluatePlan(given, plan)).toMatchObject({ ...plan, predictedMs: plan.predictedMs })
  })

  it.each([
    ['notFound', 'unknown resource egde; did you mean edge?', [['egde', 0, 4]]],
    ['invalidRange', 'ends at layer 9, the model has 4 layers', [['edge', 0, 9]]],
    ['invalidRange', 'ends at layer 3, the model has 4 layers', [['edge', 0, 3]]],
    [
      'invalidRange',
      'edge (tier edge) does not come after cloud',
      [
        ['cloud', 0, 2],
        ['edge', 2, 4],
      ],
    ],
  ] as [string, string, [string, number, number][]][])('refuses with %s: %s', (code, message, stages) => {
    expect(() => priced(...stages)).toThrow(expect.objectContaining({ code }))
    expect(() => priced(...stages)).toThrow(message)
  })

  it('names the link or profile that is missing', () => {
    const stages = [{ resource: 'cloud', from: 0, to: 4 }]
    const without = (change: Partial<Problem>) => () =>
      evaluatePlan({ ...given, ...change }, { ...parts, stages })
    expect(without({ links: [] })).toThrow('the link device → cloud is not measured')
    expect(without({ profiles: [] })).toThrow('cloud has no profile of this model')
  })
})
