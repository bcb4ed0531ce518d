/**
 * One inference request from socket to socket: read, parse, run, write. Whatever fails is answered once, by the
 * error middleware; a client that leaves aborts what was started for it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { SERVER_TIMING, writeServerTiming } from '../../../shared/platform/transfer-times.ts'
import {
  booleanParameter,
  countParameter,
  OWN_PREFIX,
  type Parameters,
} from '../../../shared/oip/parameters.ts'
import { type InferRequest, parseRawRequest } from '../../../shared/oip/request-message.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { type BodyLimits, KNOWN_ENCODINGS, readBody } from '../messages/body.ts'
import type { Messages } from '../messages/messages.ts'
import { sendMessage } from '../messages/send.ts'
import { DELIVERED, reportParameters } from '../serving/models/hop-report.ts'
import type { Inference, Target } from '../serving/models/target.ts'
import type { Statistics } from './request-statistics.ts'

/** A request of another inference service: it keeps its figures of the link to here fresh. */
const OWN_HOP = `${OWN_PREFIX}hop`

export interface InferParts {
  statistics: Statistics
  messages: Messages
  bodies: BodyLimits
  /** Headers of a request that go along to the next hops. */
  travelling: readonly string[]
}

export async function answerInfer(
  parts: InferParts,
  find: () => Promise<Target>,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const started = performance.now()
  const leaving = leavingSignal(res)
  closeIfUnread(req, res)
  const target = await find()
  try {
    const body = await readBody(req, parts.bodies)
    const parseFrom = performance.now()
    const request = body.raw
      ? parseRawRequest(target.tensors().inputs, body.tensors, target.name)
      : await parts.messages.parseRequest(body.json, body.tensors, target.name, leaving)
    const wanted = wantedOutputs(request, target)
    const parsed = performance.now()
    const inference = await target.infer(request.inputs, {
      signal: leaving,
      deadline: deadlineOf(request, Date.now()),
      id: request.id,
      parameters: request.parameters,
      outputs: wanted,
      headers: travellingHeaders(req, parts.travelling),
    })
    const ran = performance.now()
    const response = {
      modelName: target.name,
      modelVersion: target.version,
      id: request.id,
      parameters: { ...timingOf(request, inference, ran - started), ...deliveredOf(inference) },
      outputs: inference.delivered ? [] : chooseOutputs(request, target, inference.outputs),
    }
    const message = await parts.messages.writeResponse(response, leaving)
    const written = performance.now()
    if (OWN_HOP in request.parameters)
      res.setHeader(SERVER_TIMING, writeServerTiming(written - parseFrom, body.arrival))
    await sendMessage(req, res, message)
    const own = inference.hops[0]
    const queueMs = own?.queueMs ?? 0
    parts.statistics.succeeded(
      target.name,
      target.version,
      {
        totalMs: performance.now() - started,
        queueMs,
        inputMs: parsed - parseFrom,
        inferMs: Math.max(0, ran - parsed - queueMs),
        outputMs: written - ran,
      },
      Date.now(),
      inference.work,
    )
  } catch (error) {
    parts.statistics.failed(target.name, target.version, performance.now() - started)
    throw refusalOf(error, res)
  }
}

/** A 501 for a compression says which ones are known. */
function refusalOf(error: unknown, res: ServerResponse): unknown {
  if (error instanceof ScissionError && error.details?.['known'] === KNOWN_ENCODINGS)
    res.setHeader('Accept-Encoding', KNOWN_ENCODINGS)
  return error
}

/** Aborted when the connection closes before the answer is out. */
function leavingSignal(res: ServerResponse): AbortSignal {
  const leaving = new AbortController()
  res.once('close', () => {
    if (!res.writableFinished) leaving.abort()
  })
  return leaving.signal
}

/** How long a refused request may go on sending before its connection is cut. */
const UNREAD_GRACE_MS = 2000

/** After an answer that did not wait for the body, the rest is thrown away for a while, then the connection. */
function closeIfUnread(req: IncomingMessage, res: ServerResponse): void {
  res.once('finish', () => {
    if (req.complete) return
    const cut = setTimeout(() => req.socket.destroy(), UNREAD_GRACE_MS)
    req.once('end', () => clearTimeout(cut)).once('close', () => clearTimeout(cut))
  })
}

/** Names in the request's order. @throws ScissionError invalidTensor for one that the target has not. */
function wantedOutputs(request: InferRequest, target: Target): string[] | undefined {
  if (!request.outputs) return undefined
  // On the way along a deployment the outputs wanted are the last hop's, which the target lists as well.
  const known = target.tensors().outputs.map((output) => output.name)
  for (const { name } of request.outputs) {
    if (known.includes(name)) continue
    throw new ScissionError(
      'invalidTensor',
      `unexpected inference output '${name}' for model '${target.name}'; it has ${known.join(', ')}`,
      { known },
    )
  }
  return request.outputs.map((output) => output.name)
}

/** Those asked for, or all, in the order of the metadata. */
function chooseOutputs(
  request: InferRequest,
  target: Target,
  outputs: readonly Tensor[],
): { tensor: Tensor; binary: boolean }[] {
  const binary = request.binaryOutput
  const wanted = request.outputs ?? target.tensors().outputs.map(({ name }) => ({ name, binary }))
  return wanted.map(({ name, binary }) => {
    const tensor = outputs.find((output) => output.name === name)
    if (tensor) return { tensor, binary }
    throw new ScissionError('internal', `the model did not produce output '${name}'`)
  })
}

/** `timeout` is Triton's: microseconds from now. 0 = none. */
function deadlineOf(request: InferRequest, now: number): number | undefined {
  const timeout = countParameter(request.parameters, 'timeout', 'the request')
  return timeout === undefined || timeout === 0 ? undefined : now + timeout / 1000
}

/** `scission_timing: false` leaves the times out, for clients that compare answers byte by byte. */
function timingOf(request: InferRequest, inference: Inference, totalMs: number) {
  const wanted = booleanParameter(request.parameters, `${OWN_PREFIX}timing`, 'the request') ?? true
  return wanted ? reportParameters(inference.hops, totalMs) : {}
}

/** Said to the hop before: there are no outputs because the entry has them. */
const deliveredOf = ({ delivered }: Inference): Parameters => (delivered ? { [DELIVERED]: true } : {})

function travellingHeaders(req: IncomingMessage, names: readonly string[]): Record<string, string> {
  const found = names.flatMap((name) => {
    const value = req.headers[name]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return Object.fromEntries(found)
}
