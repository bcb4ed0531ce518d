/**
 * Sends the tensors of a boundary to the next hop of a deployment, and brings its answer back. Whatever goes wrong
 * there is said with the hop's name, in the words of the error table.
 */
import { coerceError, type ErrorCode, ScissionError } from '../../../shared/platform/errors.ts'
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import { member, parseJson, isObject } from '../../../shared/oip/exact-json.ts'
import { messageHeaders } from '../../../shared/oip/binary-message.ts'
import { OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import { writeInferRequest } from '../../../shared/oip/request-message.ts'
import { type InferResponse, parseInferResponse } from '../../../shared/oip/response-message.ts'
import { freeViews } from '../messages/free-memory.ts'
import { type CallAnswer, CallTimeout, type Caller } from '../http/call.ts'
import type { InferContext } from '../serving/models/target.ts'
import { observationOf } from '../links/observation.ts'
import type { Peer } from '../registration/peers.ts'
import type { WireTensor } from './boundary-codec.ts'

export interface ForwardOptions {
  caller: Caller
  /** Told of every request that a peer answered in full: keeps the figures of the link fresh. */
  observe?: (peer: Peer, observation: Observation) => void
  hopTimeoutMs: number
  maxBytes: number
}

export interface Forward {
  peer: Peer
  deployment: string
  planId: string
  /** Index of the hop that is called. */
  hop: number
  tensors: readonly WireTensor[]
  context: InferContext
  /** Silence of this length is an error, whatever time the client has. */
  patienceMs: number
}

/**
 * What the next hop is told of its time: a little less than it is waited for, so that its own error comes first: it
 * knows better whose fault it is.
 */
const TOLD_SHARE = 0.9

/**
 * The tensors are given away with the answer: their memory is freed once they have arrived.
 * @throws ScissionError peerUnavailable, deadlineExceeded, overloaded or cancelled, naming the hop in
 * `details.resource`; where it answered, with `details.status`.
 */
export async function forward(options: ForwardOptions, job: Forward): Promise<InferResponse> {
  const startedAt = performance.now()
  const { context, peer } = job
  const timeoutMs = timeLeft(job.patienceMs, context.deadline, peer.resource.name)
  const message = writeInferRequest({
    id: context.id,
    parameters: {
      ...travelling(context),
      timeout: Math.max(1, Math.round(timeoutMs * TOLD_SHARE * 1000)),
      [`${OWN_PREFIX}hop`]: job.hop,
      [`${OWN_PREFIX}plan`]: job.planId,
      binary_data_output: true,
    },
    inputs: job.tensors,
    outputs: context.outputs?.map((name) => ({ name })),
  })
  // Else a peer may take as long as it likes, as long as it is heard of.
  const bounded = context.deadline !== undefined || job.patienceMs < options.hopTimeoutMs
  try {
    const answer = await options.caller.send({
      method: 'POST',
      url: `${peer.url.replace(/\/$/, '')}/v2/models/${encodeURIComponent(job.deployment)}/infer`,
      headers: { ...context.headers, ...messageHeaders(message) },
      body: [message.json, ...message.binary],
      signal: context.signal,
      timeoutMs,
      limitMs: bounded ? timeoutMs : undefined,
      maxBytes: options.maxBytes,
    })
    if (answer.status !== 200) throw refusal(answer, peer)
    const response = parseInferResponse(answer.json, answer.tensors)
    const observation = observationOf(answer, performance.now() - startedAt)
    // Nobody waits for this: the answer goes on first.
    setImmediate(() => {
      if (answer.allSent) freeViews(message.binary)
      if (observation) options.observe?.(peer, observation)
    })
    return response
  } catch (error) {
    throw named(error, peer, timeoutMs)
  }
}

/** The client's parameters go along, but for those that say how *its* answer is to be written. */
function travelling(context: InferContext): Parameters {
  const { binary_data_output: _form, timeout: _timeout, ...parameters } = context.parameters
  return parameters
}

function timeLeft(patienceMs: number, deadline: number | undefined, resource: string): number {
  if (deadline === undefined) return Math.ceil(patienceMs)
  const left = deadline - Date.now()
  if (left > 0) return Math.ceil(Math.min(patienceMs, left))
  throw new ScissionError('deadlineExceeded', `the request's time was up before hop ${resource} was called`, {
    resource,
  })
}

const CODES: Partial<Record<number, ErrorCode>> = {
  499: 'cancelled',
  503: 'overloaded',
  504: 'deadlineExceeded',
}

export function refusal(answer: CallAnswer, peer: Peer): ScissionError {
  const code = CODES[answer.status] ?? 'peerUnavailable'
  const text = errorText(answer.json)
  return new ScissionError(code, `hop ${peer.resource.name} answered ${answer.status}: ${text}`, {
    resource: peer.resource.name,
    status: answer.status,
  })
}

/** The peer answered, though not with a result: it is full, or does not like this request. */
export function isAlive(error: ScissionError): boolean {
  const status = error.details?.['status']
  return status === 503 || (typeof status === 'number' && status < 500)
}

/** Asks a peer to have a deployment loaded. @throws why it has not. */
export async function askToLoad(options: ForwardOptions, peer: Peer, deployment: string): Promise<void> {
  try {
    const answer = await options.caller.send({
      method: 'POST',
      url: `${peer.url.replace(/\/$/, '')}/v2/repository/models/${encodeURIComponent(deployment)}/load`,
      headers: { 'Content-Type': 'application/json' },
      body: [],
      timeoutMs: options.hopTimeoutMs,
      maxBytes: options.maxBytes,
    })
    if (answer.status !== 200) throw refusal(answer, peer)
  } catch (error) {
    throw named(error, peer, options.hopTimeoutMs)
  }
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

export function named(error: unknown, peer: Peer, timeoutMs: number): ScissionError {
  const resource = peer.resource.name
  if (error instanceof CallTimeout) {
    return new ScissionError(
      'deadlineExceeded',
      `hop ${resource} at ${peer.url} was silent for ${timeoutMs} ms`,
      { resource },
    )
  }
  if (error instanceof ScissionError) {
    const fromHop = error.details?.['resource'] !== undefined || error.code === 'cancelled'
    if (fromHop) return error
    return new ScissionError('peerUnavailable', `hop ${resource}: ${error.message}`, { resource }, error)
  }
  const { message } = coerceError(error)
  return new ScissionError(
    'peerUnavailable',
    `hop ${resource} at ${peer.url} cannot be reached: ${message}`,
    { resource },
    error,
  )
}
