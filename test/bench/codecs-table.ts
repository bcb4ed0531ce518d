/**
 * `npm run bench -- codecs-table`: on a 4G link, with the first block kept on the device, the latency of cut and codec
 * chosen together, against the best uncompressed split and the native baselines, for the zoo's networks up to ResNet152
 * (by parameters).
 *
 * Layer times come from the profiler on this machine, times the slowdowns of the standard testbed: device and edge are
 * emulated. Bytes come from the networks' own activations. Their weights are random, so nothing is said of accuracy:
 * a row shows what a codec would buy if its accuracy were acceptable. SCISSION_BENCH_NETWORKS=resnet50,mobilenet
 * takes only those.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { measureCodecs } from '../../services/inference/jobs/profiler/codec-speed.ts'
import { profileModel } from '../../services/inference/jobs/profiler/profile-model.ts'
import { optimise, type Problem } from '../../shared/planning/index.ts'
import { encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import type { CodecSpeed } from '../../shared/contracts/calibration.ts'
import { type Plan, PlanQuery } from '../../shared/contracts/plan.ts'
import { NETWORK_PRESETS } from '../../shared/contracts/network-presets.ts'
import { writeRange } from '../../shared/onnx/index.ts'
import { ZOO, type ZooName } from '../../shared/zoo/index.ts'
import { type Benchmark, type Figure, figure, type Result } from './bench.ts'
import { activationsOf, type OpenNetwork, openNetwork } from './codecs-activations.ts'

/** The codecs that may be used, from least to most lossy; each row includes those before it. */
const LEVELS = [
  { name: 'lossless', codecs: ['zstd'] },
  { name: '8 bits and more', codecs: ['zstd', 'fp16', 'fp16-zstd', 'q8', 'q8-zstd', 'q8c', 'q8c-zstd'] },
  {
    name: '4 bits and more',
    codecs: [
      'zstd',
      'fp16',
      'fp16-zstd',
      'q8',
      'q8-zstd',
      'q8c',
      'q8c-zstd',
      'q4',
      'q4-zstd',
      'q4c',
      'q4c-zstd',
    ],
  },
] as const
const CODECS = LEVELS[LEVELS.length - 1]?.codecs ?? []
const RESNET152 = 60_419_944
const RUNS = 10

export const codecsTable: Benchmark = {
  name: 'codecs-table',
  title: '4G link, first block on the device: cut and codec chosen together',
  run,
}

export interface Row {
  network: string
  device: Plan
  cloud: Plan
  uncompressed: Plan
  /** By level. */
  together: Plan[]
}

async function run(say: (text: string) => void): Promise<Result> {
  const asked = process.env['SCISSION_BENCH_NETWORKS']?.split(',')
  const names = (Object.keys(ZOO) as ZooName[])
    .filter((name) => ZOO[name].parameters <= RESNET152 && (asked?.includes(name) ?? true))
    .sort((a, b) => ZOO[a].parameters - ZOO[b].parameters)
  const speeds = measureCodecs()
  const rows: Row[] = []
  for (const name of names) {
    say(ZOO[name].title)
    rows.push(await rowOf(name, speeds))
  }
  say(markdown(rows))
  return { figures: rows.flatMap(figuresOf), raw: { rows, speeds } }
}

async function rowOf(name: ZooName, speeds: CodecSpeed[]): Promise<Row> {
  const network = await openNetwork({ zoo: name })
  try {
    const problem = await problemOf(network, speeds)
    const cut = network.structure.boundaries.find(({ k, single, clean }) => k > 0 && single && clean)
    const first = { firstLayersOnDevice: cut?.k ?? 1 }
    const uncompressed = best(problem, { ...first, codecs: [] })
    const native = optimise(problem, query({})).native
    const on = (resource: string) => native.find((plan) => plan.stages[0]?.resource === resource)
    const [device, cloud] = [on('device'), on('cloud')]
    if (!device || !cloud) throw new Error(`${name} has no native plan on device or cloud`)
    const together = LEVELS.map(({ codecs }) => best(problem, { ...first, codecs: [...codecs] }))
    return { network: ZOO[name].title, device, cloud, uncompressed, together }
  } finally {
    await network.close()
  }
}

const query = (fields: Record<string, unknown>) =>
  PlanQuery.parse({ model: 'network', source: 'device', top: 1, maxAccuracyLoss: 0, ...fields })

/** A split: at least two stages. Native plans are baselines of their own. */
function best(problem: Problem, fields: Record<string, unknown>): Plan {
  const [plan] = optimise(problem, query({ minStages: 2, ...fields })).plans
  if (!plan) throw new Error('no plan')
  return plan
}

async function problemOf(network: OpenNetwork, speeds: CodecSpeed[]): Promise<Problem> {
  const { structure, canonical, dir } = network
  const file = path.join(dir, 'whole.onnx')
  await writeRange(canonical, 0, structure.layers.length, file)
  const options = { threads: 1, optimisation: 'all' as const }
  const measured = await profileModel({ path: file, structure, runs: RUNS, options })
  const activations = await activationsOf(network)
  const testbed = readTestbed()
  const tiers = testbed.tiers
  return {
    structure,
    resources: testbed.resources.map(({ name, tier, slowdown }) => ({
      name,
      tier,
      tierIndex: tiers.indexOf(tier),
      slowdown,
      emulated: slowdown > 1,
    })),
    profiles: testbed.resources.map(({ name }) => ({
      resource: name,
      model: structure.model,
      shapesKey: structure.shapesKey,
      layerMs: measured.layerMs,
      ...(measured.enterMs && { enterMs: measured.enterMs }),
      ...(measured.exitMs && { exitMs: measured.exitMs }),
      codecs: speeds,
      emulated: true,
    })),
    links: linksOf(),
    codecs: CODECS.map((name) => ({
      name,
      // Random weights: how much accuracy a codec costs is not known here, and the title says so.
      cells: activations.map(({ boundary, tensor }) => ({
        boundary,
        bytesRatio: encodeTensor(tensor, name).bytes.byteLength / tensor.bytes.byteLength,
        accuracyLoss: 0,
      })),
    })),
  }
}

interface Testbed {
  tiers: string[]
  resources: { name: string; tier: string; slowdown: number }[]
}

const readTestbed = (): Testbed =>
  JSON.parse(readFileSync(new URL('../../infra/testbed/default.json', import.meta.url), 'utf8')) as Testbed

/** The standard testbed's, the device behind a 4G network. */
function linksOf(): Problem['links'][number][] {
  const { rttMs, upMbps, downMbps } = NETWORK_PRESETS['4g']
  const link = (from: string, to: string, rtt: number, up: number, down: number) => ({
    from,
    to,
    rttMs: rtt,
    bandwidthMbps: up,
    returnBandwidthMbps: down,
    source: 'preset' as const,
    emulated: true,
  })
  return [
    link('device', 'edge', rttMs, upMbps, downMbps),
    link('device', 'cloud', rttMs + 20, upMbps, downMbps),
    link('edge', 'cloud', 20, 50, 50),
  ]
}

function figuresOf({ network, device, cloud, uncompressed, together }: Row): Figure[] {
  const baseline = { name: 'best uncompressed split', value: uncompressed.predictedMs }
  return [
    figure(`${network}: native on the device`, device.predictedMs, 'ms', 'lower', null),
    figure(`${network}: native on the cloud`, cloud.predictedMs, 'ms', 'lower', null),
    ...LEVELS.map(({ name }, level) => {
      const value = together[level]?.predictedMs ?? Number.NaN
      return figure(`${network}: ${name}`, value, 'ms', 'lower', uncompressed.predictedMs, baseline)
    }),
  ]
}

const HEAD = [
  'network',
  'device',
  'cloud',
  'best split',
  ...LEVELS.map(({ name }) => name),
  'saved',
  'last one’s plan',
]

/** Milliseconds; for docs/results.md. */
function markdown(rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const body = rows.map(({ network, device, cloud, uncompressed, together }) => {
    const last = together.at(-1)
    const saved = last ? 1 - last.predictedMs / uncompressed.predictedMs : 0
    return line([
      network,
      ...[device, cloud, uncompressed, ...together].map((plan) => plan.predictedMs.toFixed(0)),
      `${(100 * saved).toFixed(0)} %`,
      last ? planText(last) : '',
    ])
  })
  return [line(HEAD), line(HEAD.map(() => '---')), ...body].join('\n')
}

const planText = ({ stages, transfers }: Plan) =>
  stages
    .map(({ resource, from, to }) => {
      const codec = transfers.find((transfer) => transfer.to === resource)?.codec ?? 'none'
      return `${codec === 'none' ? '' : `${codec} → `}${resource} ${from}-${to}`
    })
    .join(', ')
