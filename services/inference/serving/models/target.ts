/** A target is what a name under /v2/models stands for: a whole model, a layer range, or a deployment. */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { Parameters } from '../../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RangeKey } from '../../ranges/range-files.ts'
import type { SharedRun } from '../executor/executor.ts'

export type TargetTensor = Pick<TensorSpec, 'name' | 'datatype' | 'shape'>

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
  /** Set if a request may hold several items and share its runs with other requests. */
  batching?: BatchingFacts
  /** The metadata's `properties`. */
  properties: Record<string, string>
  /** @throws ScissionError notReady with the reason if it is not loaded. */
  checkReady: () => void
  infer: (inputs: Tensor[], context: InferContext) => Promise<Inference>
}

export interface BatchingFacts {
  /** Maximum number of items of one run; 1 means no batches. */
  maxBatch: number
  /** ms that a request waits for others although it could be run. */
  batchDelayMs: number
}

export interface InferContext {
  /** Aborted if the client leaves. */
  signal: AbortSignal
  /** Epoch ms after which the answer is useless. */
  deadline: number | undefined
  /** Id of the request. */
  id: string | undefined
  parameters: Parameters
  /** Names of the requested outputs; undefined means all. */
  outputs: string[] | undefined
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
  /** The work done here; undefined means one item in a run of its own. */
  work?: Work
}

export interface Work {
  /** Number of items of the request. */
  items: number
  /** Each run once; it may have included items of other requests. */
  runs: readonly SharedRun[]
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

export type LayerRange = Pick<RangeKey, 'from' | 'to'>

/** Finds the target of a name in an address: a deployment first, then a registered model or a layer range of it. */
export interface Targets {
  /** @throws ScissionError notFound, invalidRange, needsInputShapes. */
  find: (name: string, version?: string, layers?: LayerRange) => Promise<Target>
}
