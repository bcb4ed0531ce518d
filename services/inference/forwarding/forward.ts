/**
 * Sends the tensors of a boundary to the next hop of a deployment and returns its answer. Every error names the hop and has
 * a code of the error table.
 */
import { coerceError, type ErrorCode, ScissionError } from '../../../shared/platform/errors.ts'
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import { member, parseJson, isObject } from '../../../shared/oip/exact-json.ts'
import { messageHeaders } from '../../../shared/oip/binary-message.ts'
import { OWN_PREFIX } from '../../../shared/oip/parameters.ts'
import { writeInferRequest } from '../../../shared/oip/request-message.ts'
import { parseInferResponse } from '../../../shared/oip/response-message.ts'
import { freeViews } from '../messages/buffer-memory.ts'
import { type Call, type CallAnswer, CallTimeout, type Caller, observationOf } from '../http/call.ts'
import {
  DELIVERED,
  hopParameters,
  type HopReport,
  type InferContext,
  type Inference,
  readReports,
} from '../serving/models/target.ts'
import type { Peer } from '../registration/peers.ts'
import { wrongAddressText } from '../registration/who-answers.ts'
import { CODEC, type CodedTensor } from '../../../shared/codec/index.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import type { Patience } from './through-breaker.ts'

/** Parameter that names the slot of a direct answer at the entry; see direct-answer.ts. */
export const SLOT = `${OWN_PREFIX}slot`

export interface ForwardOptions {
  caller: Caller
  /** Called for every request that a peer answered completely, to keep the link's figures current. */
  observe?: (peer: Peer, observation: Observation) => void
  /** Called if another machine seems to answer at the address of a peer. */
  doubt?: (peer: Peer) => void
  hopTimeoutMs: number
  /** Upper limit of an answer to which nothing else applies. */
  maxBytes: number
}

/** The tensors of a boundary on their way to the next hop. */
export interface Crossing {
  live: LiveDeployment
  /** Index of the hop that is called. */
  hop: number
  tensors: readonly CodedTensor[]
  context: InferContext
  /** This hop's report. For direct answers, the reports of all hops so far travel with the request. */
  own: HopReport
}

export interface Forward extends Crossing {
  peer: Peer
  patience: Patience
}

/** The answer of the hops behind this one. */
export interface Onward {
  inference: Inference
  /** This hop's report; it says how the tensors were sent, if they were. */
  own: HopReport
}

/**
 * The next hop is told a slightly shorter timeout than is waited for, so that its own error arrives first: it is more
 * precise.
 */
const TOLD_SHARE = 0.9

/**
 * Calls a hop. The memory of the tensors is freed after the answer.
 * @throws ScissionError peerUnavailable, deadlineExceeded, overloaded, cancelled; invalidValues or payloadTooLarge if the fault
 * is the client's, with the hop in `details.resource`; if it answered, with `details.status`.
 */
export function forward(options: ForwardOptions, job: Forward): Promise<Onward> {
  const startedAt = performance.now()
  const { context, peer } = job
  const { id, planId } = job.live.record
  const { patience } = job
  const timeoutMs = timeLeft(patience.hardMs, context.deadline, peer.resource.name)
  // The client's parameters, without those that concern the format of its own answer.
  const { binary_data_output: _form, [CODEC]: _codec, timeout: _timeout, ...parameters } = context.parameters
  const message = writeInferRequest({
    id: context.id,
    parameters: {
      ...parameters,
      ...(context.parameters[SLOT] !== undefined && hopParameters([job.own])),
      timeout: Math.max(1, Math.round(timeoutMs * TOLD_SHARE * 1000)),
      [`${OWN_PREFIX}hop`]: job.hop,
      [`${OWN_PREFIX}plan`]: planId,
      binary_data_output: true,
    },
    inputs: job.tensors,
    outputs: context.outputs?.map((name) => ({ name })),
  })
  // Otherwise a peer may take any time, as long as it is not silent.
  const bounded = context.deadline !== undefined || patience.ms < options.hopTimeoutMs
  const call = {
    method: 'POST',
    headers: { ...context.headers, ...messageHeaders(message) },
    body: [message.json, ...message.binary],
    signal: context.signal,
    timeoutMs,
    limitMs: bounded ? Math.ceil(Math.min(timeoutMs, patience.ms)) : undefined,
    more: patience.more,
    maxBytes: Math.max(options.maxBytes, context.messageBytes ?? 0),
  } as const
  return askPeer(options, peer, `/v2/models/${encodeURIComponent(id)}/infer`, call, (answer) => {
    const { outputs, parameters } = parseInferResponse(answer.json, answer.tensors)
    const hops = readReports(parameters)
    refuseOther(options, job, hops[0])
    const observation = observationOf(answer, performance.now() - startedAt)
    // The answer is passed on first, because no request waits for this.
    setImmediate(() => {
      if (answer.allSent) freeViews(message.binary)
      if (observation) options.observe?.(peer, observation)
    })
    const delivered = parameters[DELIVERED] === true
    const inference = delivered ? { outputs: [], hops, delivered } : { outputs, hops }
    return { inference, own: job.own }
  })
}

/** @throws ScissionError peerUnavailable if the answer's own report says that another machine made it. */
function refuseOther({ doubt }: ForwardOptions, { peer, own }: Forward, first: HopReport | undefined): void {
  const resource = peer.resource.name
  if (first === undefined || first.resource === resource) return
  doubt?.(peer)
  throw new ScissionError(
    'peerUnavailable',
    `hop ${resource}: ${wrongAddressText(peer, first.resource, own.resource)}`,
    { resource },
  )
}

/**
 * Sends a request to a peer. @param path of the address, below the peer's own. @param read reads an answer of status 200.
 * @throws ScissionError as `forward`.
 */
export async function askPeer<T>(
  { caller, maxBytes, doubt }: ForwardOptions,
  peer: Peer,
  path: string,
  call: Omit<Call, 'url' | 'to' | 'maxBytes'> & { maxBytes?: number },
  read: (answer: CallAnswer) => T,
): Promise<T> {
  try {
    const url = `${peer.url.replace(/\/$/, '')}${path}`
    const answer = await caller.send({ maxBytes, ...call, url, to: peer.resource.name })
    if (answer.status === 200) return read(answer)
    if (answer.errorCode === ('misdirected' satisfies ErrorCode)) doubt?.(peer)
    throw refusal(answer, peer)
  } catch (error) {
    throw named(error, peer)
  }
}

function timeLeft(patienceMs: number, deadline: number | undefined, resource: string): number {
  if (deadline === undefined) return Math.ceil(patienceMs)
  const left = deadline - performance.now()
  if (left > 0) return Math.ceil(Math.min(patienceMs, left))
  throw new ScissionError('deadlineExceeded', `the request's time was up before hop ${resource} was called`, {
    resource,
  })
}

const CODES: Partial<Record<number, ErrorCode>> = {
  // The client's tensors need more memory there than there is, as the whole model's own refusal says.
  413: 'payloadTooLarge',
  // Of all that this machine sends there too much waits: no fault of this client.
  429: 'overloaded',
  499: 'cancelled',
  503: 'overloaded',
  504: 'deadlineExceeded',
}

function refusal(answer: CallAnswer, peer: Peer): ScissionError {
  const { status, errorCode } = answer
  const text = errorText(answer.json)
  return new ScissionError(codeOf(answer), `hop ${peer.resource.name} answered ${status}: ${text}`, {
    resource: peer.resource.name,
    status,
    ...(errorCode !== undefined && { answeredCode: errorCode }),
  })
}

function codeOf({ status, errorCode }: CallAnswer): ErrorCode {
  // Any hop may be the one whose layer refuses the client's values, or sizes.
  if (status === 400 && (errorCode === 'invalidValues' || errorCode === 'invalidTensor')) return errorCode
  return CODES[status] ?? 'peerUnavailable'
}

/** ms that a peer may take to say that it holds a deployment. Loading goes on there if it takes longer. */
const ASKED_MS = 5000

/** Asks a peer to load a deployment. @throws ScissionError with the reason if it cannot. */
export function askToLoad(options: ForwardOptions, peer: Peer, deployment: string): Promise<void> {
  const path = `/v2/repository/models/${encodeURIComponent(deployment)}/load`
  const headers = { 'Content-Type': 'application/json' }
  const timeoutMs = Math.min(ASKED_MS, options.hopTimeoutMs)
  const call = { method: 'POST', headers, body: [], timeoutMs } as const
  return askPeer(options, peer, path, call, () => undefined)
}

function errorText(json: Uint8Array): string {
  try {
    const body = parseJson(json)
    const error = isObject(body) ? member(body, 'error') : undefined
    return typeof error === 'string' ? error : 'no reason given'
  } catch {
    return 'something that is not JSON'
  }
}

function named(error: unknown, peer: Peer): ScissionError {
  const resource = peer.resource.name
  if (error instanceof CallTimeout) {
    return new ScissionError(
      'deadlineExceeded',
      `hop ${resource} at ${peer.url} was silent for ${Math.round(error.waitedMs)} ms`,
      { resource },
    )
  }
  if (error instanceof ScissionError) {
    const fromHop = error.details?.['resource'] !== undefined || error.code === 'cancelled'
    if (fromHop) return error
    // Its answer may be too long to be received here; whatever else is wrong with it, it is not what a hop answers.
    const code = error.code === 'payloadTooLarge' ? error.code : 'peerUnavailable'
    return new ScissionError(code, `hop ${resource}: ${error.message}`, { resource }, error)
  }
  const { message } = coerceError(error)
  return new ScissionError(
    'peerUnavailable',
    `hop ${resource} at ${peer.url} cannot be reached: ${message}`,
    { resource },
    error,
  )
}
