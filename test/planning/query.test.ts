/** A plan query as a URL or a JSON body gives it. */
import { describe, expect, it } from 'vitest'
import { PlanQuery } from '../../shared/contracts/plan.ts'

const parse = (query: Record<string, unknown>) => PlanQuery.safeParse({ model: 'net', ...query })

describe('a plan query', () => {
  it('reads lists and figures by name from one text each, as a URL has them', () => {
    const { data } = parse({
      objective: 'weighted',
      weights: 'latency:1,energy:0.5',
      pareto: 'latency,price',
      busyWatts: 'device:2.5,cloud:100',
      maxTierShare: 'device:60',
      maxTotalUploadBytes: '1e6',
      codecs: 'q8,q4c-zstd',
      maxAccuracyLoss: '0.01',
      timeLimitMs: '50',
      tensorOnDevice: 'conv1/out:0',
    })
    expect(data).toMatchObject({
      weights: { latency: 1, energy: 0.5 },
      pareto: ['latency', 'price'],
      busyWatts: { device: 2.5, cloud: 100 },
      maxTierShare: { device: 60 },
      maxTotalUploadBytes: 1_000_000,
      codecs: ['q8', 'q4c-zstd'],
      maxAccuracyLoss: 0.01,
      timeLimitMs: 50,
      tensorOnDevice: 'conv1/out:0',
    })
  })

  it('asks for the five fastest plans that lose nothing unless it says otherwise', () => {
    expect(parse({}).data).toMatchObject({
      objective: 'latency',
      top: 5,
      distinct: 'plans',
      confidence: 'median',
      view: 'chain',
      cuts: 'clean',
      maxAccuracyLoss: 0,
    })
  })

  it.each([
    [{ objective: 'speed' }, 'objective'],
    [{ weights: 'speed:1' }, 'weights'],
    [{ weights: 'latency:-1' }, 'weights'],
    [{ pareto: 'latency,speed' }, 'pareto'],
    [{ top: 1e9 }, 'top'],
    [{ top: 0 }, 'top'],
    [{ maxTierShare: 'edge:101' }, 'maxTierShare'],
    [{ maxEnergyJ: 'NaN' }, 'maxEnergyJ'],
    [{ maxPrice: 'Infinity' }, 'maxPrice'],
    [{ maxTotalUploadBytes: -1 }, 'maxTotalUploadBytes'],
    [{ maxAccuracyLoss: 2 }, 'maxAccuracyLoss'],
    [{ busyWatts: 'device:-1' }, 'busyWatts'],
    [{ busyWatts: 'device' }, 'busyWatts'],
    [{ codecs: 'q3' }, 'codecs'],
    [{ timeLimitMs: 0 }, 'timeLimitMs'],
    [{ confidence: 'lower' }, 'confidence'],
    [{ maxEnergie: 3 }, 'maxEnergie'],
    // null, which JSON makes of NaN, and texts that are no numbers must not be read as 0 or 1.
    [{ maxTotalUploadBytes: null }, 'maxTotalUploadBytes'],
    [{ maxTierMs: { device: null } }, 'maxTierMs'],
    [{ top: true }, 'top'],
    [{ maxMemoryBytes: { edge: [5] } }, 'maxMemoryBytes'],
    [{ firstLayersOnDevice: '' }, 'firstLayersOnDevice'],
    [{ maxAccuracyLoss: ' ' }, 'maxAccuracyLoss'],
    [{ maxTierMs: 'device:' }, 'maxTierMs'],
    [{ links: { 'device>edge': { rttMs: null } } }, 'rttMs'],
    [{ slowdowns: { edge: null } }, 'slowdowns'],
  ])('refuses %j, naming the field', (query, field) => {
    const { error } = parse(query)
    expect(JSON.stringify(error?.issues)).toContain(field)
  })
})
