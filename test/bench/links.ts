/**
 * Do link estimates say what a link is, and do their intervals hold it, on a quiet machine and while other processes keep one
 * and two cores busy? Each network from 3G to wired, and asymmetric ones, by the link emulator, or links that PEERS names:
 * probed, then from traffic: messages of one size each way, answered by a peer that works a while, and pings between them.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { randomFillSync } from 'node:crypto'
import { startLinkEmulatorProcess } from '../../infra/testbed/link-emulator/remote.ts'
import { type ProcessOptions, startProcess } from '../../infra/start/processes/process.ts'
import { Caller, observationOf } from '../../services/inference/http/call.ts'
import type { LinkFigures } from '../../services/inference/links/estimate-link.ts'
import { measureOwnCost } from '../../services/inference/links/own-cost.ts'
import { Traffic } from '../../services/inference/links/traffic.ts'
import { createLog } from '../../shared/platform/log.ts'
import { NETWORK_PRESETS } from '../../shared/contracts/network-presets.ts'
import { measureLink } from '../../services/inference/links/measure-link.ts'
import { pingSeries } from '../../services/inference/links/ping-series.ts'
import { mean, median, standardDeviation } from '../../shared/platform/statistics.ts'
import { type Benchmark, type BenchOptions, type Figure, figure, type Result } from './bench.ts'
import { CONDITIONS, type Condition, keepBusy } from './conditions.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 2)
const MESSAGES = 10
const TENSOR_BYTES = { up: 150_000, down: 150_000 }
const WORK_MS = 15

/** The conditions that count here: quotas hold back services, not links. */
const LOADS = CONDITIONS.filter(({ quota }) => quota === undefined)
/**
 * Peers (`tsx test/bench/links-peer.ts BYTES WORK_MS PORT HOST`) behind real links, in place of the emulator:
 * `name|rttMs|upMbps|downMbps|url`, separated by commas. Rates are of payload.
 */
const PEERS = process.env.PEERS

interface Setting {
  name: string
  rttMs: number
  upMbps: number
  downMbps: number
  /** Of the peer behind the link; that of its emulated link if it is absent. */
  url?: string
}

const SETTINGS: Setting[] = [
  ...Object.entries(NETWORK_PRESETS).map(([name, { rttMs, upMbps, downMbps }]) => ({
    name,
    rttMs,
    upMbps,
    downMbps,
  })),
  { name: 'adsl 1:8', rttMs: 30, upMbps: 1, downMbps: 8 },
  { name: 'cable 5:50', rttMs: 15, upMbps: 5, downMbps: 50 },
]

interface Row {
  setting: Setting
  condition: string
  how: 'probes' | 'traffic'
  tookMs: number
  figures: LinkFigures
  /** Relative errors. */
  errors: { rtt: number; up: number; down: number }
  /** Whether the stated interval holds the setting. */
  held: { rtt: boolean; up: boolean; down: boolean }
}

export const links: Benchmark = {
  name: 'links',
  title: "Link estimates against the emulator's settings",
  run,
}

async function run(say: (text: string) => void, { conditions }: BenchOptions = {}): Promise<Result> {
  const loads = LOADS.filter(({ name }) => conditions === undefined || conditions.split(',').includes(name))
  const { settings, close } =
    PEERS === undefined ? await emulated() : { settings: given(PEERS), close: undefined }
  const rows: Row[] = []
  try {
    for (const load of loads) {
      const idle = keepBusy(load.busyCores)
      try {
        for (let round = 0; round < ROUNDS; round += 1)
          for (const setting of settings) rows.push(...(await measured(setting, load, say)))
      } finally {
        idle()
      }
    }
  } finally {
    await close?.()
  }
  return { figures: loads.flatMap((load) => figuresOf(rows, load)), raw: rows }
}

async function measured(setting: Setting, load: Condition, say: (text: string) => void): Promise<Row[]> {
  const probed = await probe(setting, load)
  const rows = [probed, await traffic(setting, load, probed.figures)]
  rows.forEach((row) => say(describe(row)))
  return rows
}

/** `name|rttMs|upMbps|downMbps|url,…` */
const given = (text: string): Setting[] =>
  text.split(',').map((one) => {
    const [name = '', rttMs, upMbps, downMbps, url = ''] = one.split('|')
    return { name, rttMs: Number(rttMs), upMbps: Number(upMbps), downMbps: Number(downMbps), url }
  })

/** As in a system, peer and emulator are processes of their own. */
async function emulated(): Promise<{ settings: Setting[]; close: () => Promise<void> }> {
  const log = createLog('bench', 'error')
  const start = (options: Omit<ProcessOptions, 'log' | 'logFile'>) => startProcess({ ...options, log })
  const peer = await start({
    name: 'peer',
    entry: new URL('./links-peer.ts', import.meta.url),
    args: [String(TENSOR_BYTES.down), String(WORK_MS)],
  })
  const target = { host: '127.0.0.1', port: Number(new URL(peer.url).port) }
  const emulator = await startLinkEmulatorProcess(
    start,
    SETTINGS.map(({ name, rttMs, upMbps, downMbps }) => ({ name, rttMs, upMbps, downMbps, target })),
  )
  return {
    settings: SETTINGS.map((one) => ({ ...one, url: `http://127.0.0.1:${emulator.ports[one.name]}` })),
    close: async () => {
      await emulator.close()
      await peer.stop()
    },
  }
}

const PARTS = ['rtt', 'up', 'down'] as const
type PartName = (typeof PARTS)[number]
const estimateOf = ({ rttMs, bandwidthMbps, returnBandwidthMbps }: LinkFigures, part: PartName) =>
  ({ rtt: rttMs, up: bandwidthMbps, down: returnBandwidthMbps })[part]

function figuresOf(rows: readonly Row[], { name, busyCores }: Condition): Figure[] {
  return (['probes', 'traffic'] as const).flatMap((how) => {
    const own = rows.filter((row) => row.how === how && row.condition === name)
    if (own.length === 0) return []
    // Other work delays every message: how near figures then are is no promise, that their intervals hold is one.
    const floor = busyCores > 0 ? null : how === 'probes' ? 5 : 10
    const errors = (part: PartName) => own.map((row) => 100 * row.errors[part])
    const held = own.flatMap((row) => Object.values(row.held))
    const took = own.map((row) => row.tookMs)
    const of = `${name}, ${how}`
    return [
      figure(`${of}: RTT, worst error`, Math.max(...errors('rtt')), '%', 'lower', floor),
      figure(`${of}: RTT, median error`, median(errors('rtt')), '%', 'lower', null),
      figure(`${of}: bandwidth there, worst error`, Math.max(...errors('up')), '%', 'lower', floor),
      figure(`${of}: bandwidth there, median error`, median(errors('up')), '%', 'lower', null),
      figure(`${of}: bandwidth back, worst error`, Math.max(...errors('down')), '%', 'lower', floor),
      figure(`${of}: bandwidth back, median error`, median(errors('down')), '%', 'lower', null),
      figure(
        `${of}: settings within ±`,
        (100 * held.filter(Boolean).length) / held.length,
        '%',
        'higher',
        90,
      ),
      figure(`${of}: ± over 95 % of the scatter, median`, widthOverScatter(own), 'times', 'lower', null),
      figure(
        `${of}: time taken, longest`,
        nearestRank(took, 1) / 1000,
        's',
        'lower',
        how === 'probes' && busyCores === 0 ? 3 : null,
      ),
    ]
  })
}

/** How wide the intervals are beside how far the estimates of one unchanged link lie apart. */
function widthOverScatter(rows: readonly Row[]): number {
  const ratios = [...new Set(rows.map(({ setting }) => setting.name))].flatMap((name) =>
    PARTS.map((part) => {
      const estimates = rows
        .filter(({ setting }) => setting.name === name)
        .map(({ figures }) => estimateOf(figures, part))
      const scatter = 1.96 * standardDeviation(estimates.map(({ value }) => value))
      return mean(estimates.map(({ halfWidth }) => halfWidth)) / scatter
    }),
  )
  return median(ratios)
}

async function probe(setting: Setting, load: Condition): Promise<Row> {
  const startedAt = performance.now()
  const { figures } = await measureLink(peerAt(setting))
  return rowOf(setting, load, 'probes', performance.now() - startedAt, figures)
}

/** Messages of one size, with pings before and between them, as a service has them. @param before what probes found. */
async function traffic(setting: Setting, load: Condition, before: LinkFigures): Promise<Row> {
  const caller = new Caller()
  const seen = new Traffic()
  const body = [randomFillSync(new Uint8Array(TENSOR_BYTES.up))]
  const startedAt = performance.now()
  try {
    for (let message = 0; message <= MESSAGES; message += 1) {
      const answer = await caller.send({
        method: 'POST',
        url: `${peerAt(setting).url}/work`,
        headers: { 'Content-Type': 'application/octet-stream' },
        body,
        timeoutMs: 60_000,
        maxBytes: 10 * TENSOR_BYTES.down,
      })
      const observation = observationOf(answer, answer.times.wireMs)
      if (observation) seen.add(observation, performance.now())
      if (message % (MESSAGES / 2) === 0) seen.addPings(await pingSeries(peerAt(setting)), performance.now())
    }
  } finally {
    caller.close()
  }
  const figures = seen.figures(before, performance.now(), Number.POSITIVE_INFINITY, await measureOwnCost())
  if (!figures) throw new Error(`the traffic over ${setting.name} told nothing`)
  return rowOf(setting, load, 'traffic', performance.now() - startedAt, figures)
}

/** It says that it is "peer". */
const peerAt = ({ url = '' }: Setting) => ({ url, resource: { name: 'peer' } as never })

function rowOf(
  setting: Setting,
  load: Condition,
  how: Row['how'],
  tookMs: number,
  figures: LinkFigures,
): Row {
  const set = { rtt: setting.rttMs, up: setting.upMbps, down: setting.downMbps }
  const error = (part: PartName) => Math.abs(estimateOf(figures, part).value / set[part] - 1)
  const held = (part: PartName) => {
    const { value, halfWidth } = estimateOf(figures, part)
    return Math.abs(value - set[part]) <= halfWidth
  }
  return {
    setting,
    condition: load.name,
    how,
    tookMs,
    figures,
    errors: { rtt: error('rtt'), up: error('up'), down: error('down') },
    held: { rtt: held('rtt'), up: held('up'), down: held('down') },
  }
}

function describe({ setting, condition, how, tookMs, figures, held }: Row): string {
  const shown = (part: PartName, set: number) => {
    const { value, halfWidth } = estimateOf(figures, part)
    return `${value.toFixed(2)} ± ${halfWidth.toFixed(2)} of ${set}${held[part] ? '' : ' OUTSIDE'}`
  }
  return (
    `${condition.padEnd(14)} ${setting.name.padEnd(11)} ${how.padEnd(8)} ${(tookMs / 1000).toFixed(1)} s  ` +
    `rtt ${shown('rtt', setting.rttMs)}  there ${shown('up', setting.upMbps)}  back ${shown('down', setting.downMbps)}  ` +
    `per message ${figures.perMessageMs.value.toFixed(2)} ms, jitter ${figures.jitterMs.toFixed(2)} ms`
  )
}
