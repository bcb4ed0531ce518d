/** Costs of a plan, written straight from the definitions; shares no code with the optimiser. */
import type { OptimiserQuery, Problem, QuotaStops } from '../../shared/planning/index.ts'
import type { TriedStage } from './brute-force.ts'

export interface Costs {
  ms: number
  /** The slowest resource (decoding, stage, encoding) or transfer (there and back). */
  slowestMs: number
  /** On the wire, all hops. */
  bytes: number
  energyJ: number
  price: number
  loss: number
  /** Per hop. */
  losses: number[]
  /** Per stage. */
  computeMs: number[]
  /** On a source that runs no layer. */
  relayMs: number
  sent: { from: string; bytes: number }[]
}

interface Stop {
  name: string
  codingMs: number
  computeMs: number
  sendMs: number
  sentBytes: number
}

/** Undefined when a profile, a link or a codec's figures are missing. */
export function costsOf(
  problem: Problem,
  query: OptimiserQuery,
  stages: readonly TriedStage[],
): Costs | undefined {
  const upper = query.confidence === 'upper'
  const source = query.source ?? ''
  const path = stages[0]?.resource === source ? stages : [undefined, ...stages]
  const stops: Stop[] = []
  const hopsMs: number[] = []
  const losses: number[] = []
  for (const [at, stage] of path.entries()) {
    const computeMs = stage ? stageMs(problem, stage, upper) : relayMsOf(problem, source, upper)
    if (computeMs === undefined) return undefined
    const stop = { name: stage?.resource ?? source, codingMs: 0, computeMs, sendMs: 0, sentBytes: 0 }
    const before = stops[at - 1]
    if (stage && before) {
      const hop = hopOf(problem, path[at - 1], before.name, stage, upper)
      if (!hop) return undefined
      before.codingMs += hop.encodeMs
      before.sendMs = hop.sendMs
      before.sentBytes = hop.bytes
      stop.codingMs += hop.decodeMs
      hopsMs.push(hop.ms)
      losses.push(hop.loss)
    }
    stops.push(stop)
  }
  const work = stops.map((stop) => stop.codingMs + stop.computeMs)
  const ms = total([...work, ...hopsMs])
  return {
    ms,
    slowestMs: Math.max(...work, ...hopsMs),
    bytes: total(stops.map((stop) => stop.sentBytes)),
    ...figuresOf(problem, query, stops, ms),
    loss: Math.min(1, total(losses)),
    losses,
    computeMs: stops.slice(stops.length - stages.length).map((stop) => stop.computeMs),
    relayMs: stops.length > stages.length ? stops[0]!.computeMs : 0,
    sent: stops.slice(0, -1).map((stop) => ({ from: stop.name, bytes: stop.sentBytes })),
  }
}

function figuresOf(problem: Problem, query: OptimiserQuery, stops: readonly Stop[], ms: number) {
  type Field = 'busyWatts' | 'idleWatts' | 'transmitWatts' | 'pricePerSecond' | 'pricePerGb'
  const figure = (field: Field, name: string) => (query[field] ?? problem.figures?.[field])?.[name] ?? 0
  const milliJoules = stops.map(({ name, codingMs, computeMs, sendMs }) => {
    const busyMs = codingMs + computeMs
    const waitMs = ms - busyMs - sendMs
    return (
      figure('busyWatts', name) * busyMs +
      figure('transmitWatts', name) * sendMs +
      figure('idleWatts', name) * waitMs
    )
  })
  const nano = stops.map(
    ({ name, computeMs, sentBytes }) =>
      figure('pricePerSecond', name) * computeMs * 1e6 + figure('pricePerGb', name) * sentBytes,
  )
  return { energyJ: total(milliJoules) / 1000, price: total(nano) / 1e9 }
}

function stageMs(problem: Problem, stage: TriedStage, upper: boolean): number | undefined {
  const profile = profileOf(problem, stage)
  if (!profile) return undefined
  const { layerMs, enterMs, exitMs, interval, callMs = 0, stops } = profile
  let ms = (enterMs?.[stage.from] ?? 0) + (exitMs?.[stage.to] ?? 0)
  for (let layer = stage.from; layer < stage.to; layer += 1) ms += layerMs[layer]!
  if (ms < 0) ms = 0
  if (upper && interval) ms += interval.relative * ms + interval.fixedMs
  if (upper) ms += stoppedMs(stops)
  return (ms + callMs) * slowdownOf(problem, stage.resource)
}

/** Three quarters of a stop more than one besides those that a stage's times contain. */
const stoppedMs = (stops: QuotaStops | undefined): number =>
  stops ? stops.ms * (stops.areExpected ? 1.75 : 1) : 0

/** Reading a request, passing it on and writing the answer: a call without layers. */
function relayMsOf(problem: Problem, source: string, upper: boolean): number {
  const { callMs = 0, interval, stops } = firstProfile(problem, source) ?? {}
  return (callMs + (upper ? (interval?.fixedMs ?? 0) + stoppedMs(stops) : 0)) * slowdownOf(problem, source)
}

function hopOf(
  problem: Problem,
  sender: TriedStage | undefined,
  from: string,
  stage: TriedStage,
  upper: boolean,
) {
  const link = problem.links.find((one) => one.from === from && one.to === stage.resource)
  const raw = problem.structure.boundaries[stage.from]!.bytes
  const answer = problem.structure.boundaries.at(-1)!.bytes
  const coding = codingOf(problem, sender, from, stage, raw)
  if (!link || !coding) return undefined
  const width = (field: 'rttMs' | 'perMessageMs' | 'bandwidthMbps' | 'returnBandwidthMbps') =>
    upper ? (link.uncertainty?.[field] ?? 0) : 0
  const jitterMs = upper ? (link.jitterMs ?? 0) : 0
  const slowest = (mbps: number, less: number) => Math.max(mbps / 10, mbps - less)
  const perByte = (mbps: number) => 8 / 1000 / mbps
  const sendMs = coding.bytes * perByte(slowest(link.bandwidthMbps, width('bandwidthMbps')))
  const answerMs = answer * perByte(slowest(link.returnBandwidthMbps, width('returnBandwidthMbps')))
  const fixedMs = link.rttMs + width('rttMs') + (link.perMessageMs ?? 0) + width('perMessageMs') + jitterMs
  return { ...coding, sendMs, ms: fixedMs + sendMs + answerMs }
}

function codingOf(
  problem: Problem,
  sender: TriedStage | undefined,
  from: string,
  stage: TriedStage,
  raw: number,
) {
  const { codec } = stage
  if (codec === 'none') return { bytes: raw, encodeMs: 0, decodeMs: 0, loss: 0 }
  const calibrated = problem.codecs!.find(({ name }) => name === codec)!
  const cell = calibrated.cells.find(({ boundary }) => boundary === stage.from)
  const senderProfile = sender ? profileOf(problem, sender) : firstProfile(problem, from)
  const speedOf = (profile: Problem['profiles'][number] | undefined) =>
    profile?.codecs?.find((speed) => speed.codec === codec)
  const encode = speedOf(senderProfile)
  const decode = speedOf(profileOf(problem, stage))
  if (!cell || !encode || !decode) return undefined
  return {
    bytes: Math.round(raw * cell.bytesRatio),
    encodeMs: (raw / 1e6) * encode.encodeMsPerMb * slowdownOf(problem, from),
    decodeMs: (raw / 1e6) * decode.decodeMsPerMb * slowdownOf(problem, stage.resource),
    loss: cell.accuracyLoss,
  }
}

function profileOf(problem: Problem, { resource, options }: TriedStage) {
  return problem.profiles.find(
    (profile) =>
      profile.resource === resource &&
      (profile.options ? `${profile.options.threads}-${profile.options.optimisation}` : '') === options,
  )
}

/** The one with the resource's own options, else the one with the fewest threads. */
function firstProfile(problem: Problem, resource: string) {
  const own = problem.resources.find(({ name }) => name === resource)!.options
  const all = problem.profiles.filter((profile) => profile.resource === resource)
  const mine = all.find(({ options }) => options?.threads === own?.threads)
  return mine ?? (own ? all.sort((a, b) => a.options!.threads - b.options!.threads)[0] : all[0])
}

function slowdownOf(problem: Problem, resource: string): number {
  return problem.resources.find(({ name }) => name === resource)!.slowdown
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
