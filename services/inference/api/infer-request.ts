/**
 * Handles one inference request from socket to socket: read, parse, run, write. The error middleware answers all errors. If
 * the client leaves, everything started for it is aborted.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { clientOf } from '../../../shared/platform/http-server/client-of.ts'
import { SERVER_TIMING, writeServerTiming } from '../../../shared/platform/transfer-times.ts'
import { booleanParameter, countParameter, OWN_PREFIX } from '../../../shared/oip/parameters.ts'
import { type InferRequest, parseRawRequest } from '../../../shared/oip/request-message.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { type BodyLimits, KNOWN_ENCODINGS, readBody } from '../messages/body.ts'
import type { AnswerMemory } from '../messages/answer-memory.ts'
import { type Messages, sendMessage } from '../messages/message-codec.ts'
import type { BoundaryCodec } from '../forwarding/boundary-codec.ts'
import type { PaceSampler } from '../pace/pace-sampler.ts'
import { callMs } from './call-cost.ts'
import { isMachineHeader, withoutMachines } from './from-machine.ts'
import { withScalarShapes } from './scalar-shapes.ts'
import {
  DELIVERED,
  type Inference,
  reportParameters,
  takesOf,
  type Target,
} from '../serving/models/target.ts'
import { refuseUnknownOutputs } from '../serving/models/wanted-outputs.ts'
import { encodeOutputs, wantedCodecs } from './output-codecs.ts'
import type { Statistics } from './request-statistics.ts'

/** Marks a request of another inference service, which uses the answer's timing to keep its link figures current. */
const OWN_HOP = `${OWN_PREFIX}hop`

export interface InferDeps {
  statistics: Statistics
  messages: Messages
  codec: BoundaryCodec
  bodies: BodyLimits
  answers: AnswerMemory
  /** Is told what requests cost here beside the runs of their stages. */
  pace: Pick<PaceSampler, 'called'>
  /** Names of request headers that are passed on to the next hops. */
  travelling: readonly string[]
  /** Whether another machine of the system sent it: what machines tell each other counts only then. */
  isFromMachine: (req: IncomingMessage) => boolean
}

export async function answerInfer(
  deps: InferDeps,
  find: () => Promise<Target>,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const started = performance.now()
  const leaving = leavingSignal(res)
  const client = clientOf(req)
  const asker = { client, gone: leaving }
  closeIfUnread(req, res)
  const target = await find()
  try {
    const body = await readBody(req, bodyLimits(deps.bodies, target))
    const parseFrom = performance.now()
    const message = body.raw
      ? parseRawRequest(target.tensors().inputs, takesOf(target), body.tensors, target.name)
      : await deps.messages.parseRequest(body.json, body.tensors, target.name, asker)
    const isOfMachine = deps.isFromMachine(req)
    const request = isOfMachine ? message : { ...message, parameters: withoutMachines(message.parameters) }
    const wanted = wantedOutputs(request, target)
    const codecs = wantedCodecs(request)
    const parsed = performance.now()
    const inputs = withScalarShapes(request.inputs, takesOf(target))
    const inference = await target.infer(inputs, {
      client,
      signal: leaving,
      deadline: deadlineOf(request, performance.now()),
      id: request.id,
      parameters: request.parameters,
      outputs: wanted,
      headers: travellingHeaders(req, deps.travelling, isOfMachine),
    })
    const ran = performance.now()
    const outputs = inference.delivered ? [] : chooseOutputs(request, target, inference.outputs)
    const response = {
      modelName: target.name,
      modelVersion: target.version,
      id: request.id,
      parameters: {
        ...timingOf(request, inference, ran - started),
        // There are no outputs for the previous hop, because they were delivered to the entry.
        ...(inference.delivered && { [DELIVERED]: true }),
      },
      outputs: await encodeOutputs(deps.codec, outputs, codecs, leaving),
    }
    const answer = await deps.messages.writeResponse(response, asker)
    const written = performance.now()
    if (OWN_HOP in request.parameters)
      res.setHeader(SERVER_TIMING, writeServerTiming(written - parseFrom, body.arrival))
    await sendMessage(req, res, answer, { memory: deps.answers, messages: deps.messages, asker })
    const own = inference.hops[0]
    const queueMs = own?.queueMs ?? 0
    if (target.uncounted) return
    if (own && !inference.delivered) {
      const ms = callMs(own, { receivedMs: parseFrom - started, restMs: written - parseFrom })
      deps.pace.called(ms, { cpuMs: own.cpuMs, wallMs: own.computeMs })
    }
    const decodeMs = own?.decodeMs ?? 0
    deps.statistics.succeeded(
      target.name,
      target.version,
      {
        totalMs: performance.now() - started,
        queueMs,
        inputMs: parsed - parseFrom + decodeMs,
        inferMs: Math.max(0, ran - parsed - queueMs - decodeMs),
        outputMs: written - ran,
      },
      Date.now(),
      inference.work,
    )
  } catch (error) {
    if (!target.uncounted) deps.statistics.failed(target.name, target.version, performance.now() - started)
    throw refusalOf(error, res)
  }
}

const bodyLimits = (bodies: BodyLimits, { messageBytes = 0 }: Target): BodyLimits => ({
  ...bodies,
  maxBytes: Math.max(bodies.maxBytes, messageBytes),
})

/** Adds the known encodings to a 501 answer for an unknown compression. */
function refusalOf(error: unknown, res: ServerResponse): unknown {
  if (error instanceof ScissionError && error.details?.['known'] === KNOWN_ENCODINGS)
    res.setHeader('Accept-Encoding', KNOWN_ENCODINGS)
  return error
}

/** A signal that is aborted if the connection closes before the answer was sent. */
function leavingSignal(res: ServerResponse): AbortSignal {
  const leaving = new AbortController()
  res.once('close', () => {
    if (!res.writableFinished) leaving.abort()
  })
  return leaving.signal
}

/** ms for which a refused client may continue to send before its connection is closed. */
const UNREAD_GRACE_MS = 2000

/** After an answer that did not wait for the whole body, discards the rest for a while, then closes the connection. */
function closeIfUnread(req: IncomingMessage, res: ServerResponse): void {
  res.once('finish', () => {
    if (req.complete) return
    const cut = setTimeout(() => req.socket.destroy(), UNREAD_GRACE_MS)
    req.once('end', () => clearTimeout(cut)).once('close', () => clearTimeout(cut))
  })
}

/** Names of the requested outputs in their order. @throws ScissionError invalidTensor for an unknown name. */
function wantedOutputs(request: InferRequest, target: Target): string[] | undefined {
  if (!request.outputs) return undefined
  const wanted = request.outputs.map(({ name }) => name)
  // At every hop of a deployment the outputs are those of the last hop, which the target lists.
  if (target.knowsOutputs?.() ?? true) refuseUnknownOutputs(target.name, wanted, target.tensors().outputs)
  return wanted
}

/** The requested outputs, or all outputs in the order of the metadata. */
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

/** The request's deadline. `timeout` is Triton's parameter: microseconds from now; 0 means none. */
function deadlineOf(request: InferRequest, now: number): number | undefined {
  const timeout = countParameter(request.parameters, 'timeout', 'the request')
  return timeout === undefined || timeout === 0 ? undefined : now + timeout / 1000
}

/** Times of all hops; left out with `scission_timing: false`, for clients that compare answers byte by byte. */
function timingOf(request: InferRequest, inference: Inference, totalMs: number) {
  const wanted = booleanParameter(request.parameters, `${OWN_PREFIX}timing`, 'the request') ?? true
  return wanted ? reportParameters(inference.hops, totalMs) : {}
}

function travellingHeaders(
  req: IncomingMessage,
  names: readonly string[],
  isOfMachine: boolean,
): Record<string, string> {
  const found = names.flatMap((name) => {
    const value = isOfMachine || !isMachineHeader(name) ? req.headers[name] : undefined
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return Object.fromEntries(found)
}
