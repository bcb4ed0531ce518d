/**
 * The meaning of the original's criteria, on made-up measurements: every placement is listed with plain loops, those that a
 * predicate allows are sorted, and the command must print them. Neither loops nor predicates share code with it.
 */
import { describe, expect, it } from 'vitest'
import { predict } from '../../infra/cli/commands/predict.ts'
import type { OriginalOptions } from '../../shared/original/index.ts'
import { madeUpFolder } from './data.ts'
import { DEVICE, type MadeUp, madeUp } from './made-up.ts'

/** A tier that runs Keras layers first..last. */
interface Part {
  name: string
  first: number
  last: number
  seconds: number
  outputBytes: number
}

interface Placement {
  device: Part | undefined
  edge: Part | undefined
  cloud: Part | undefined
  seconds: number
  /** Without transfers. */
  processing: number
  deviceUpload: number
  edgeUpload: number
}

const INPUT_BYTES = 150_000

function placements(
  { profiles, networks }: MadeUp,
  network: string,
  model: string,
  inputBytes = INPUT_BYTES,
) {
  const systems = Object.values(profiles.systems)
  const part = (name: string | undefined, from: number, to: number): Part | undefined => {
    const blocks = systems.find((system) => system.name === name)?.models[model]?.blocks.slice(from, to) ?? []
    const [head, tail] = [blocks[0], blocks.at(-1)]
    if (name === undefined || !head || !tail) return undefined
    const seconds = blocks.reduce((sum, block) => sum + block[2], 0)
    return { name, first: head[0], last: tail[1], seconds, outputBytes: tail[3] }
  }
  const names = (tier: string) => systems.filter((system) => system.tier === tier).map(({ name }) => name)
  const count = systems[0]?.models[model]?.blocks.length ?? 0
  const found: Placement[] = []
  for (let x = 0; x <= count; x++)
    for (let y = x; y <= count; y++)
      for (const edgeName of x < y ? names('edge') : [undefined])
        for (const cloudName of y < count ? names('cloud') : [undefined]) {
          const [device, edge, cloud] = [part(DEVICE, 0, x), part(edgeName, x, y), part(cloudName, y, count)]
          const hops = [DEVICE, edge?.name, cloud?.name].filter((name) => name !== undefined)
          const sent = [device?.outputBytes ?? inputBytes, edge?.outputBytes ?? 0]
          const transfers = hops.slice(1).map((to, at) => {
            const wire = networks[network]?.find(
              ({ source, destination }) => source === hops[at] && destination === to,
            )
            const { pingMs, bandwidthMbps } = wire ?? { pingMs: NaN, bandwidthMbps: NaN }
            return pingMs / 1000 + (sent[at] ?? 0) / Math.round((bandwidthMbps * 1e6) / 8)
          })
          const processing = [device, edge, cloud].reduce((sum, one) => sum + (one?.seconds ?? 0), 0)
          found.push({
            device,
            edge,
            cloud,
            processing,
            seconds: transfers.reduce((sum, one) => sum + one, processing),
            deviceUpload: hops.length > 1 ? (sent[0] ?? 0) : 0,
            edgeUpload: edge && cloud ? edge.outputBytes : 0,
          })
        }
  return found.sort((a, b) => a.seconds - b.seconds)
}

const printed = ({ device, edge, cloud, seconds, deviceUpload, edgeUpload }: Placement) => {
  const range = (part: Part | undefined) => (part ? `${part.first} - ${part.last}` : '-1 - -1')
  const upload = ((deviceUpload + edgeUpload) / 1e6).toFixed(4)
  const [at, on] = [edge?.name ?? 'None', cloud?.name ?? 'None']
  return `${seconds.toFixed(4)}s - ${upload}MB - Device(${DEVICE}) = ${range(device)}, Edge(${at}) = ${range(edge)}, Cloud(${on}) = ${range(cloud)}`
}

const runs = (part: Part | undefined, layer: number) =>
  part !== undefined && layer >= part.first && layer <= part.last

type Case = [options: OriginalOptions, allows: (one: Placement) => boolean]

const CASES: Case[] = [
  [{}, () => true],
  [{ device: '!-1', edge: '3', cloud: '9' }, (p) => !!p.device && runs(p.edge, 3) && runs(p.cloud, 9)],
  [{ device: '0,2' }, (p) => runs(p.device, 0) && runs(p.device, 2)],
  [{ device: '!-1,!3' }, (p) => !!p.device && !runs(p.device, 3)],
  [{ device: '=-1,!3' }, (p) => !p.device],
  [{ device: '-1' }, (p) => !p.device],
  [{ cloud: '-1' }, (p) => !p.cloud],
  [{ cloud: '!15' }, (p) => !runs(p.cloud, 15)],
  [{ edge: '-1', cloud: '-1' }, (p) => !p.edge && !p.cloud],
  [{ device: '-1', edge: '-1', cloud: '-1' }, () => false],
  [{ device: '!-1', edge: '!-1', cloud: '!-1' }, (p) => !!p.device && !!p.edge && !!p.cloud],
  [
    { edge: 'laptop', cloud: 'server(GPU)' },
    (p) => p.edge?.name === 'laptop' && p.cloud?.name === 'server(GPU)',
  ],
  [{ edge: '!laptop' }, (p) => !!p.edge && p.edge.name !== 'laptop'],
  // Digits are a layer, even if a machine has that name; and there is no layer 2500.
  [{ edge: '2500' }, () => false],
  [{ edge: '!2500' }, () => true],
  [{ cloud: 'server(NoGPU),server(GPU)' }, (p) => !!p.cloud],
  [{ device: '!-1', deviceUpload: '0.04' }, (p) => !!p.device && p.deviceUpload <= 40_000],
  [{ edge: '!-1', cloud: '!-1', edgeUpload: '0.02' }, (p) => !!p.edge && !!p.cloud && p.edgeUpload <= 20_000],
  [{ cloudTime: '0.01' }, (p) => (p.cloud?.seconds ?? 0) <= 0.01],
  [{ device: '!-1', deviceTime: '0.9' }, (p) => !!p.device && p.device.seconds <= 0.9],
  [{ edge: '!-1', edgeTime: '30%' }, (p) => !!p.edge && p.edge.seconds <= 0.3 * p.processing],
  [{ cloudTime: '20%' }, (p) => (p.cloud?.seconds ?? 0) <= 0.2 * p.processing],
]

describe('criteria', () => {
  const data = madeUp()
  it.each(CASES)('%j list the plans that they allow, best first', (options, allows) => {
    const folder = madeUpFolder()
    for (const network of ['wlan.csv', 'ethernet.csv']) {
      const expected = placements(data, network, 'Chain').filter(allows).slice(0, 12)
      const { results, seconds } = predict(folder, network, 'CHAIN', { ...options, resultCount: '12' })
      expect(results).toEqual(expected.map(printed))
      expect(seconds.map((one) => one.toPrecision(12))).toEqual(
        expected.map((one) => one.seconds.toPrecision(12)),
      )
    }
  })

  it('take the input to be as large as they say, and list every plan if asked to', () => {
    const expected = placements(data, 'ethernet.csv', 'Wide_V2', 5_000_000).map(printed)
    const { results } = predict(madeUpFolder(), 'ethernet.csv', 'wide_v2', {
      input: '5',
      resultCount: '1000',
    })
    expect(results).toEqual(expected)
    expect(results.length).toBeGreaterThan(30)
  })

  it.each(CASES)('%j list the same plans with the fault of the original if no time is 0 s', (options) => {
    const folder = madeUpFolder()
    const asked = { ...options, resultCount: '1000' }
    const faulty = predict(folder, 'wlan.csv', 'chain', { ...asked, zeroTimeBug: true })
    expect(faulty.results.toSorted()).toEqual(predict(folder, 'wlan.csv', 'chain', asked).results.toSorted())
  })
})
