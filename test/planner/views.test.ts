/** Every option of a plan query in both views: answered, or refused with a 4xx that names it; and documented. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { GraphPlanAnswer } from '../../shared/contracts/graph-plan.ts'
import { PlanQuery } from '../../shared/contracts/plan.ts'
import { ExplainedAnswer } from '../../shared/contracts/plan-sweep.ts'
import { exampleProfile } from '../support/fixtures.ts'
import { errorOf, usePlanner } from './harness.ts'

const { ask } = usePlanner()

const idOf = (resource: string) => exampleProfile(resource, [1, 1, 1, 1]).id

/**
 * A value for each option that the example can be asked with, in URL form; more than one if they differ in kind.
 * `inputShapes` say which problem is meant, before there is a view: the example has no others than its own.
 */
const OPTIONS: Record<Exclude<keyof typeof PlanQuery.shape, 'model' | 'view' | 'inputShapes'>, string[]> = {
  objective: ['latency', 'bytes', 'energy&busyWatts=device:4', 'price&pricePerGb=device:1', 'throughput'],
  weights: ['latency:1,bytes:0.001&objective=weighted', 'latency:1,throughput:1&objective=weighted'],
  pareto: ['latency,bytes'],
  top: ['1', '7'],
  distinct: ['plans', 'resources'],
  confidence: ['median', 'upper'],
  timeLimitMs: ['5000'],
  source: ['device', 'edge'],
  mustUseTiers: ['edge'],
  mustNotUseTiers: ['cloud'],
  mustUseResources: ['edge'],
  mustNotUseResources: ['cloud'],
  firstLayersOnDevice: ['2'],
  tensorOnDevice: ['t1'],
  mustRunLayers: ['3:cloud', '1-3:edge'],
  mustNotRunLayers: ['0-2:cloud'],
  maxTierMs: ['device:15'],
  maxTierShare: ['device:60'],
  maxUploadBytes: ['device:1000000'],
  maxTotalUploadBytes: ['1000000'],
  maxMemoryBytes: ['edge:1000000'],
  maxLatencyMs: ['1000'],
  minThroughput: ['1'],
  maxEnergyJ: ['10&busyWatts=device:4'],
  maxPrice: ['10&pricePerSecond=cloud:1'],
  minStages: ['2'],
  maxStages: ['2'],
  cuts: ['clean', 'any'],
  codecs: ['none'],
  maxAccuracyLoss: ['0', '0.01'],
  busyWatts: ['device:4'],
  idleWatts: ['device:1'],
  transmitWatts: ['device:2'],
  pricePerSecond: ['cloud:0.1'],
  pricePerGb: ['device:0.1'],
  options: ['own', 'any'],
  profiles: [`${idOf('device')},${idOf('cloud')}`],
  sensitivity: ['true', 'false'],
  network: ['4g'],
  links: ['device>edge:rttMs=20;upMbps=5'],
  extraRttMs: ['device>cloud:30'],
  slowdowns: ['edge:2'],
  loads: ['edge:1'],
  without: ['edge'],
  only: ['device,cloud'],
  present: ['edge'],
}

/** Queries that the graph view does not plan, by the field that it names. */
const REFUSED = new Set([
  'objective=throughput',
  'weights=latency:1,throughput:1&objective=weighted',
  'pareto=latency,bytes',
  'sensitivity=true',
])

const urlOf = (field: string, value: string) => `${field}=${value.replaceAll('>', '%3E')}`

const asked = Object.entries(OPTIONS).flatMap(([field, values]) =>
  values.map((value) => ({ field, asked: urlOf(field, value) })),
)

describe('every option of a plan query', () => {
  it('is answered by the chain view', async () => {
    for (const one of asked) {
      const { status, body } = await ask(`/v1/plans?model=chain&${one.asked}`)
      expect([status, body.error], one.asked).toEqual([200, undefined])
      expect(ExplainedAnswer.parse(body).why, one.asked).not.toBe('')
    }
  })

  it('is answered by the graph view or refused by name', async () => {
    for (const one of asked) {
      const answer = await ask(`/v1/plans?model=chain&view=graph&${one.asked}`)
      if (REFUSED.has(one.asked)) {
        expect([answer.status, errorOf(answer).details], one.asked).toEqual([400, { field: one.field }])
        continue
      }
      expect([answer.status, answer.body.error], one.asked).toEqual([200, undefined])
      const { plans, native, why } = GraphPlanAnswer.parse(answer.body)
      expect(why, one.asked).not.toBe('')
      expect(native.length, one.asked).toBeGreaterThan(0)
      for (const { interval, predictedMs } of plans)
        expect(interval.highMs, one.asked).toBeGreaterThanOrEqual(predictedMs)
    }
  })

  it('is in a table of docs/reference/plan-query.md', async () => {
    const text = await readFile(new URL('../../docs/reference/plan-query.md', import.meta.url), 'utf8')
    const documented = new Set(
      text
        .split('\n')
        .filter((line) => line.startsWith('| `'))
        .flatMap((line) => [...line.split('|')[1]!.matchAll(/`(\w+)`/g)].map(([, name]) => name)),
    )
    for (const field of Object.keys(PlanQuery.shape)) expect(documented).toContain(field)
  })

  it('has no map in the graph view', async () => {
    const answer = await ask('/v1/plans/sweep', {
      query: { model: 'chain', view: 'graph' },
      axes: [{ vary: 'rttMs', values: [1, 2] }],
    })
    expect([answer.status, errorOf(answer).details]).toEqual([400, { field: 'view' }])
  })
})
