/**
 * Sends the tensors of a boundary to the next hop of a deployment, and brings its answer back. Whatever goes wrong
 * there is said with the hop's name, in the words of the error table.
 */
import { coerceError, type ErrorCode, ScissionError } from '../../../shared/errors.ts'
import { member, parseJson, isObject } from '../../../shared/oip/json.ts'
import { messageHeaders } from '../../../shared/oip/message.ts'
import { OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import { writeInferRequest } from '../../../shared/oip/request.ts'
import { type InferResponse, parseInferResponse } from '../../../shared/oip/response.ts'
import type { Tensor } from '../../../shared/tensor.ts'
import { type CallAnswer, CallTimeout, type Caller } from '../http/call.ts'
import type { InferContext } from '../models/target.ts'
import type { Peer } from '../peers.ts'

export interface ForwardOptions {
  caller: Caller
  hopTimeoutMs: number
  maxBytes: number
}

export interface Forward {
  peer: Peer
  deployment: string
  planId: string
  /** Index of the hop that is called. */
  hop: number
  tensors: readonly Tensor[]
  context: InferContext
}

/** @throws ScissionError peerUnavailable, deadlineExceeded, overloaded or cancelled, naming the hop. */
export async function forward(options: ForwardOptions, job: Forward): Promise<InferResponse> {
  const { context, peer } = job
  const message = writeInferRequest({
    id: context.id,
    parameters: {
      ...travelling(context),
      [`${OWN_PREFIX}hop`]: job.hop,
      [`${OWN_PREFIX}plan`]: job.planId,
      binary_data_output: true,
    },
    inputs: job.tensors,
    outputs: context.outputs?.map((name) => ({ name })),
  })
  const timeoutMs = timeLeft(options.hopTimeoutMs, context.deadline, peer.resource.name)
  try {
    const answer = await options.caller.send({
      method: 'POST',
      url: `${peer.url.replace(/\/$/, '')}/v2/models/${encodeURIComponent(job.deployment)}/infer`,
      headers: { ...context.headers, ...messageHeaders(message) },
      body: [message.json, ...message.binary],
      signal: context.signal,
      timeoutMs,
      maxBytes: options.maxBytes,
    })
    if (answer.status !== 200) throw refusal(answer, peer)
    return parseInferResponse(answer.json, answer.tensors)
  } catch (error) {
    throw named(error, peer, timeoutMs)
  }
}

/** The client's parameters go along, but for those that say how *its* answer is to be written. */
function travelling(context: InferContext): Parameters {
  const { binary_data_output: _form, timeout: _timeout, ...parameters } = context.parameters
  if (context.deadline === undefined) return parameters
  return { ...parameters, timeout: Math.max(1, Math.round((context.deadline - Date.now()) * 1000)) }
}

function timeLeft(hopTimeoutMs: number, deadline: number | undefined, resource: string): number {
  if (deadline === undefined) return hopTimeoutMs
  const left = deadline - Date.now()
  if (left > 0) return Math.min(hopTimeoutMs, Math.ceil(left))
  throw new ScissionError('deadlineExceeded', `the request's time was up before hop ${resource} was called`, {
    resource,
  })
}

const CODES: Partial<Record<number, ErrorCode>> = {
  499: 'cancelled',
  503: 'overloaded',
  504: 'deadlineExceeded',
}

function refusal(answer: CallAnswer, peer: Peer): ScissionError {
  const code = CODES[answer.status] ?? 'peerUnavailable'
  const text = errorText(answer.json)
  return new ScissionError(code, `hop ${peer.resource.name} answered ${answer.status}: ${text}`, {
    resource: peer.resource.name,
  })
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

function named(error: unknown, peer: Peer, timeoutMs: number): ScissionError {
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
