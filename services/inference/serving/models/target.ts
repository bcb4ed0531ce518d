/** Whatever a name under /v2/models stands for: a whole model, a layer range, or a deployment. */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { Parameters } from '../../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { SharedRun } from '../executor/executor.ts'

export type TargetTensor = Pick<TensorSpec, 'name' | 'datatype' | 'shape'>

export interface TargetTensors {
  inputs: TargetTensor[]
  outputs: TargetTensor[]
}

export interface Target {
  /** As in the address and in `model_name`. */
  name: string
  version: string
  versions: () => Promise<string[]>
  /** What it takes and gives; -1 marks an open dimension. */
  tensors: () => TargetTensors
  /** Where a request may hold several items, and share its runs with others. */
  batching?: BatchingFacts
  /** Facts for the metadata's `properties`. */
  properties: Record<string, string>
  /** @throws ScissionError notReady with the reason when it is not loaded. */
  checkReady: () => void
  infer: (inputs: Tensor[], context: InferContext) => Promise<Inference>
}

export interface BatchingFacts {
  /** Most items of one run; 1 = no batches. */
  maxBatch: number
  /** How long a request that could be run waits for others. */
  batchDelayMs: number
}

export interface InferContext {
  /** Aborted when the client leaves. */
  signal: AbortSignal
  /** Epoch milliseconds after which nobody wants the answer. */
  deadline: number | undefined
  /** The request's. */
  id: string | undefined
  parameters: Parameters
  /** Names of the outputs wanted; undefined = all. */
  outputs: string[] | undefined
  /** Headers that travel along the path: traceparent, tracestate, x-request-id. */
  headers: Record<string, string>
  /** Where the answer may reach the entry past this hop. */
  arrival?: Arrival
}

/** Whether an answer has come by another way, so that nothing more need be computed. */
export interface Arrival {
  check: () => Promise<boolean>
  /** Aborted when it has; only where it comes to. */
  signal?: AbortSignal
}

export interface Inference {
  outputs: Tensor[]
  /** One entry per resource on the path from here on. */
  hops: HopReport[]
  /** The outputs went straight to the entry and are not here. */
  delivered?: boolean
  /** What was computed here for it; absent = one item in a run of its own. */
  work?: Work
}

export interface Work {
  /** Those of the request. */
  items: number
  /** Each run once; other requests may have had a part in it. */
  runs: readonly SharedRun[]
}

/** What one resource did for a request. */
export interface HopReport {
  /** Position on the path, the entry 0. */
  hop: number
  resource: string
  from: number
  to: number
  computeMs: number
  cpuMs: number
  queueMs: number
  /** Waited to emulate a slower machine. */
  waitedMs: number
  /** Items that were computed at once, of other requests too; absent where it was this one alone. */
  batch?: number
  /** Tensor bytes sent on, to the next hop or back. */
  bytesOut: number
  /** The same as it went to the next hop, after its codec; absent at the last hop. */
  wireBytes?: number
  /** How it was encoded for the next hop, and how long that took; absent when it was not. */
  codec?: string
  encodeMs?: number
  /** How long decoding what arrived took; absent when it was not encoded. */
  decodeMs?: number
  /** From sending to the next hop until its answer was here: the link both ways and all behind it. */
  nextMs?: number
  /** The plan's resource, where another stood in for it. */
  insteadOf?: string
  /** This resource's speed, or its link to the next one, is emulated. */
  emulated: boolean
}

/** Layers from..to-1 of a model. */
export interface LayerRange {
  from: number
  to: number
}

/** Finds the target of a name in an address: a deployment first, then a registered model or a layer range of it. */
export interface Targets {
  /** @throws ScissionError notFound, invalidRange, needsInputShapes. */
  find: (name: string, version?: string, layers?: LayerRange) => Promise<Target>
}
