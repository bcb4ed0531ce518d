/**
 * A target is what a name under /v2/models stands for: a whole model, a layer range, or a deployment. Each hop of an inference
 * reports its figures, in the answer as flat parameters, as the protocol requires: `scission_hop0_computeMs`, …
 */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import { OWN_PREFIX, type Parameters } from '../../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RangeKey } from '../../ranges/stored-range.ts'
import type { RunResult, SharedRun } from '../executor/executor.ts'

export type TargetTensor = Pick<TensorSpec, 'name' | 'datatype' | 'shape' | 'anyRank'>

export interface TargetTensors {
  inputs: TargetTensor[]
  outputs: TargetTensor[]
}

export interface Target {
  /** The name in the address and in `model_name`. */
  name: string
  version: string
  versions: () => Promise<string[]>
  /** Inputs and outputs; -1 marks an open dimension. */
  tensors: () => TargetTensors
  /** False while its outputs are not known: it finds them out with the first request, and checks those that are named itself. */
  knowsOutputs?: () => boolean
  /** The inputs as requests may send them, if they take other sizes than `tensors` says; -1 marks any size. */
  takes?: () => TargetTensor[]
  /** Set if a request may hold several items and share its runs with other requests, which was tried. */
  batching?: BatchingFacts | undefined
  /** Tries whether requests may hold several items, if that is open, and resolves when `batching` and `tensors` tell it. */
  checkBatching?: () => Promise<void>
  /** Bytes of the longest message that a plan needs: a body may have as many, whatever the limit for others is. */
  messageBytes?: number
  /** True if its requests are those of a verification, which the statistics leave out. */
  uncounted?: boolean
  /** The metadata's `properties`. */
  properties: () => Promise<Record<string, string>>
  /** @throws ScissionError notReady with the reason if it is not loaded. */
  checkReady: () => void
  infer: (inputs: Tensor[], context: InferContext) => Promise<Inference>
}

/** The inputs as requests may send them; -1 marks any size. */
export const takesOf = (target: Target): readonly TargetTensor[] =>
  target.takes?.() ?? target.tensors().inputs

export interface BatchingFacts {
  /** Maximum number of items of one run; 1 means no batches. */
  maxBatch: number
  /** ms that a request waits for others although it could be run. */
  batchDelayMs: number
}

export interface InferContext {
  /** Whose request it is, of those that call this machine; absent: work of the service itself. */
  client?: string
  /** Aborted if the client leaves. */
  signal: AbortSignal
  /** ms of performance.now() after which the answer is useless. */
  deadline: number | undefined
  /** Id of the request. */
  id: string | undefined
  parameters: Parameters
  /** Names of the requested outputs; undefined means all. */
  outputs: string[] | undefined
  /** Bytes that messages between the hops may have, if their plan needs more than others may have. */
  messageBytes?: number
  /** Headers that are passed on to all hops, e.g. traceparent, tracestate, x-request-id. */
  headers: Record<string, string>
  /** Set if the answer may reach the entry without passing this hop. */
  arrival?: Arrival
}

/** Tells whether an answer has already arrived directly, so that nothing more has to be computed. */
export interface Arrival {
  check: () => Promise<boolean>
  /** Aborted after the arrival; only at the entry. */
  signal?: AbortSignal
}

export interface Inference {
  outputs: Tensor[]
  /** One report for each hop from here on. */
  hops: HopReport[]
  /** True if the outputs were delivered directly to the entry and are not included. */
  delivered?: boolean
  /** Why the first of the hops was computed by a stand-in, if it was. */
  standInReason?: string
  /** The work done here; undefined means one item in a run of its own. */
  work?: Work
}

export interface Work {
  /** Number of items of the request. */
  items: number
  /** Each run once; it may have included items of other requests. */
  runs: readonly SharedRun[]
}

export type LayerRange = Pick<RangeKey, 'from' | 'to'>

/** Finds the target of a name in an address: a deployment first, then a registered model or a layer range of it. */
export interface Targets {
  /** @throws ScissionError notFound, invalidRange, needsInputShapes. */
  find: (name: string, version?: string, layers?: LayerRange) => Promise<Target>
}

/** Figures of one hop for one request. */
export interface HopReport {
  /** Position on the path; the entry is 0. */
  hop: number
  resource: string
  from: number
  to: number
  computeMs: number
  cpuMs: number
  queueMs: number
  /** ms waited to emulate a slower machine. */
  waitedMs: number
  /** Number of items computed together, including those of other requests; undefined for a run of its own. */
  batch?: number
  /** Bytes of the stage's outputs. */
  bytesOut: number
  /** Bytes of the same tensors as sent to the next hop, after encoding; undefined at the last hop. */
  wireBytes?: number
  /** The codec for the next hop, and ms of encoding; undefined without a codec. */
  codec?: string
  encodeMs?: number
  /** ms of decoding the tensors that arrived; undefined if they were not encoded. */
  decodeMs?: number
  /** ms from sending to the next hop until its answer arrived: the link in both directions and everything behind it. */
  nextMs?: number
  /** The plan's resource, if another one replaced it. */
  insteadOf?: string
  /** True if this resource's speed or its link to the next one is emulated. */
  emulated: boolean
}

/** Marks an answer without outputs: the outputs were delivered directly to the entry. */
export const DELIVERED = `${OWN_PREFIX}delivered`

export interface Here {
  resource: string
  /** True if this resource's speed is emulated. */
  emulated: boolean
}

export function reportRun(
  here: Here,
  hop: number,
  range: { from: number; to: number },
  run: RunResult,
): HopReport {
  return {
    hop,
    resource: here.resource,
    from: range.from,
    to: range.to,
    computeMs: run.computeMs,
    cpuMs: run.cpuMs,
    queueMs: run.queueMs,
    waitedMs: run.waitedMs,
    ...(run.batch && { batch: run.batch.size }),
    bytesOut: tensorBytes(run.outputs),
    emulated: here.emulated,
  }
}

export const tensorBytes = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0)

const FIGURES = [
  'computeMs',
  'cpuMs',
  'queueMs',
  'waitedMs',
  'batch',
  'bytesOut',
  'wireBytes',
  'encodeMs',
  'decodeMs',
  'nextMs',
] as const
const TEXTS = ['codec', 'insteadOf'] as const

export function reportParameters(hops: readonly HopReport[], totalMs: number): Parameters {
  return {
    [`${OWN_PREFIX}hops`]: hops.length,
    ...hopParameters(hops),
    [`${OWN_PREFIX}totalMs`]: round(totalMs),
    [`${OWN_PREFIX}emulated`]: hops.some((report) => report.emulated),
  }
}

/** Parameters of single hops, without those that summarise all hops. */
export function hopParameters(hops: readonly HopReport[]): Parameters {
  const parameters: Parameters = {}
  for (const report of hops) {
    const prefix = `${OWN_PREFIX}hop${report.hop}_`
    parameters[`${prefix}resource`] = report.resource
    parameters[`${prefix}layers`] = `${report.from}-${report.to}`
    for (const figure of FIGURES) {
      const value = report[figure]
      if (value !== undefined) parameters[`${prefix}${figure}`] = round(value)
    }
    for (const text of TEXTS) {
      const value = report[text]
      if (value !== undefined) parameters[`${prefix}${text}`] = value
    }
    parameters[`${prefix}emulated`] = report.emulated
  }
  return parameters
}

/** Rounds ms to microseconds, the resolution of these clocks. */
const round = (value: number) => Math.round(value * 1000) / 1000

/** Reads reports from parameters, the inverse of `hopParameters`. Incomplete reports are left out. */
export function readReports(parameters: Parameters): HopReport[] {
  const hops = new Set<number>()
  for (const key of Object.keys(parameters)) {
    const hop = /^scission_hop(\d{1,4})_resource$/.exec(key)?.[1]
    if (hop !== undefined) hops.add(Number(hop))
  }
  return [...hops].sort((a, b) => a - b).flatMap((hop) => readReport(parameters, hop) ?? [])
}

function readReport(parameters: Parameters, hop: number): HopReport | undefined {
  const value = (key: string) => parameters[`${OWN_PREFIX}hop${hop}_${key}`]
  const layers = /^(\d+)-(\d+)$/.exec(String(value('layers')))
  if (!layers) return undefined
  const report: HopReport = {
    hop,
    resource: String(value('resource')),
    from: Number(layers[1]),
    to: Number(layers[2]),
    computeMs: 0,
    cpuMs: 0,
    queueMs: 0,
    waitedMs: 0,
    bytesOut: 0,
    emulated: value('emulated') === true,
  }
  for (const figure of FIGURES) {
    const given = value(figure)
    // Messages may hold NaN, which no figure is.
    if (Number.isFinite(given)) report[figure] = Number(given)
  }
  for (const text of TEXTS) {
    const given = value(text)
    if (typeof given === 'string') report[text] = given
  }
  return report
}
