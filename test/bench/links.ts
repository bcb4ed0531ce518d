/**
 * Do link estimates say what the link emulator is set to? Each network from 3G to wired, and asymmetric ones, probed
 * once; then the same from traffic alone: messages of one size each way, answered by a peer that works a while.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { randomFillSync } from 'node:crypto'
import { startLinkEmulatorProcess } from '../../infra/testbed/link-emulator/remote.ts'
import { type ProcessOptions, startProcess } from '../../infra/start/processes/process.ts'
import { Caller, observationOf } from '../../services/inference/http/call.ts'
import type { LinkFigures } from '../../services/inference/links/estimate-link.ts'
import { measureLink } from '../../services/inference/links/measure-link.ts'
import { measureOwnCost } from '../../services/inference/links/own-cost.ts'
import { Traffic } from '../../services/inference/links/traffic.ts'
import { createLog } from '../../shared/platform/log.ts'
import { NETWORK_PRESETS } from '../../shared/contracts/network-presets.ts'
import { type Benchmark, figure, type Result } from './bench.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 2)
const MESSAGES = 8
const TENSOR_BYTES = { up: 150_000, down: 150_000 }
const WORK_MS = 15

interface Setting {
  name: string
  rttMs: number
  upMbps: number
  downMbps: number
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

async function run(say: (text: string) => void): Promise<Result> {
  const log = createLog('bench', 'error')
  // As in a system, peer and emulator are processes of their own.
  const start = (options: Omit<ProcessOptions, 'log' | 'logFile'>) => startProcess({ ...options, log })
  const peer = await start({
    name: 'peer',
    entry: new URL('./links-peer.ts', import.meta.url),
    args: [String(TENSOR_BYTES.down), String(WORK_MS)],
  })
  const target = { host: '127.0.0.1', port: Number(new URL(peer.url).port) }
  const emulator = await startLinkEmulatorProcess(
    start,
    SETTINGS.map(({ name, rttMs, upMbps, downMbps }) => ({
      name,
      rttMs,
      upMbps,
      downMbps,
      target,
    })),
  )
  const { ports } = emulator
  const rows: Row[] = []
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const setting of SETTINGS) {
        for (const row of [await probe(ports, setting), await traffic(ports, setting)]) {
          rows.push(row)
          say(describe(row))
        }
      }
    }
  } finally {
    await emulator.close()
    await peer.stop()
  }
  return { figures: [...figuresOf(rows, 'probes', 5), ...figuresOf(rows, 'traffic', 10)], raw: rows }
}

function figuresOf(rows: readonly Row[], how: Row['how'], floorPercent: number) {
  const own = rows.filter((row) => row.how === how)
  const worst = (pick: (row: Row) => number) => 100 * Math.max(...own.map(pick))
  const held = own.flatMap((row) => Object.values(row.held))
  const took = own.map((row) => row.tookMs)
  return [
    figure(
      `${how}: RTT, worst error`,
      worst((row) => row.errors.rtt),
      '%',
      'lower',
      floorPercent,
    ),
    figure(
      `${how}: bandwidth there, worst error`,
      worst((row) => row.errors.up),
      '%',
      'lower',
      floorPercent,
    ),
    figure(
      `${how}: bandwidth back, worst error`,
      worst((row) => row.errors.down),
      '%',
      'lower',
      floorPercent,
    ),
    figure(
      `${how}: settings within the stated interval`,
      (100 * held.filter(Boolean).length) / held.length,
      '%',
      'higher',
      null,
    ),
    figure(
      `${how}: time taken, longest`,
      nearestRank(took, 1) / 1000,
      's',
      'lower',
      how === 'probes' ? 3 : null,
    ),
  ]
}

async function probe(ports: Ports, setting: Setting): Promise<Row> {
  const startedAt = performance.now()
  const { figures } = await measureLink(peerAt(ports, setting.name))
  return rowOf(setting, 'probes', performance.now() - startedAt, figures)
}

async function traffic(ports: Ports, setting: Setting): Promise<Row> {
  const caller = new Caller()
  const seen = new Traffic()
  const body = [randomFillSync(new Uint8Array(TENSOR_BYTES.up))]
  const startedAt = performance.now()
  try {
    for (let message = 0; message <= MESSAGES; message += 1) {
      const answer = await caller.send({
        method: 'POST',
        url: `${peerAt(ports, setting.name).url}/work`,
        headers: { 'Content-Type': 'application/octet-stream' },
        body,
        timeoutMs: 60_000,
        maxBytes: 10 * TENSOR_BYTES.down,
      })
      const observation = observationOf(answer, answer.times.wireMs)
      if (observation) seen.add(observation, performance.now())
    }
  } finally {
    caller.close()
  }
  const figures = seen.figures(undefined, performance.now(), Number.POSITIVE_INFINITY, await measureOwnCost())
  if (!figures) throw new Error(`the traffic over ${setting.name} told nothing`)
  return rowOf(setting, 'traffic', performance.now() - startedAt, figures)
}

/** Link name → port. */
type Ports = Readonly<Record<string, number>>

function peerAt(ports: Ports, name: string) {
  return { url: `http://127.0.0.1:${ports[name]}`, resource: { name } as never }
}

function rowOf(setting: Setting, how: Row['how'], tookMs: number, figures: LinkFigures): Row {
  const { rttMs, bandwidthMbps, returnBandwidthMbps } = figures
  const pairs = {
    rtt: [rttMs, setting.rttMs],
    up: [bandwidthMbps, setting.upMbps],
    down: [returnBandwidthMbps, setting.downMbps],
  } as const
  const error = (key: keyof typeof pairs) => Math.abs(pairs[key][0].value / pairs[key][1] - 1)
  const held = (key: keyof typeof pairs) =>
    Math.abs(pairs[key][0].value - pairs[key][1]) <= pairs[key][0].halfWidth
  return {
    setting,
    how,
    tookMs,
    figures,
    errors: { rtt: error('rtt'), up: error('up'), down: error('down') },
    held: { rtt: held('rtt'), up: held('up'), down: held('down') },
  }
}

function describe({ setting, how, tookMs, figures, errors }: Row): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`
  return (
    `${setting.name.padEnd(11)} ${how.padEnd(8)} ${(tookMs / 1000).toFixed(1)} s  ` +
    `rtt ${figures.rttMs.value.toFixed(2)} ms (${percent(errors.rtt)})  ` +
    `there ${figures.bandwidthMbps.value.toFixed(2)} (${percent(errors.up)})  ` +
    `back ${figures.returnBandwidthMbps.value.toFixed(2)} (${percent(errors.down)})  ` +
    `per message ${figures.perMessageMs.value.toFixed(2)} ms`
  )
}
