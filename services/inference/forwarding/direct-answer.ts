/** The parts of entry, middle and last hop in a direct answer; see returns.ts. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { isObject, member, parseJson } from '../../../shared/oip/exact-json.ts'
import { messageHeaders } from '../../../shared/oip/binary-message.ts'
import { OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import { writeInferResponse } from '../../../shared/oip/response-message.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { hopParameters, readReports } from '../serving/models/hop-report.ts'
import type { InferContext, Inference } from '../serving/models/target.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import { named, refusal } from './forward.ts'
import { judge, type NextHopParts, type OwnReport, patienceMs, probe } from './next-hop.ts'
import { type Delivered, type ReturnSlots, SLOT } from './pending-returns.ts'

/** Asking the entry whether it still waits must not cost more than it saves. */
const ASK_MS = 700

/** What a direct answer asks of a hop; undefined where the answer goes through the chain. */
export type Way = 'from the last hop' | 'past this hop' | 'to the entry' | undefined

export function wayOf({ answer, hops }: Deployment, hop: number, { parameters }: InferContext): Way {
  // With two hops there is nobody between to go past.
  if (answer !== 'direct' || hops.length < 3) return undefined
  if (hop === 0) return 'from the last hop'
  if (parameters[SLOT] === undefined) return undefined
  return hop < hops.length - 1 ? 'past this hop' : 'to the entry'
}

/** At the entry: whichever comes first, the answer past the chain or what the chain says. */
export async function receive(
  { returns, log }: NextHopParts & { returns: ReturnSlots },
  context: InferContext,
  through: (context: InferContext) => Promise<Inference>,
): Promise<Inference> {
  const slot = returns.open()
  const arrival = { check: async () => slot.arrived.aborted, signal: slot.arrived }
  const parameters = { ...withoutOwn(context.parameters), [SLOT]: slot.name }
  const chain = through({ ...context, parameters, arrival })
  chain.catch((error: unknown) => {
    if (slot.arrived.aborted)
      log.debug({ err: coerceError(error) }, 'a chain failed after its answer was here')
  })
  const straight = slot.delivered.then(({ outputs, parameters }) => ({
    outputs,
    hops: readReports(parameters).filter(({ hop }) => hop > 0),
  }))
  try {
    const first: Inference = await Promise.race([straight, chain])
    if (first.delivered)
      throw new ScissionError(
        'peerUnavailable',
        'the next hop says that its answer was delivered here; it was not',
      )
    return first
  } finally {
    slot.close()
  }
}

/** What a client sends under our prefix is not for the hops behind. */
function withoutOwn(parameters: Parameters): Parameters {
  return Object.fromEntries(
    Object.entries(parameters).filter(
      ([key]) => !key.startsWith(OWN_PREFIX) || key === `${OWN_PREFIX}timing`,
    ),
  )
}

/** In the middle: before anything is computed a second time, the entry is asked whether it still waits. */
export function askingEntry(parts: NextHopParts, { entry }: Deployment, context: InferContext): InferContext {
  const { peers, forwarding, log } = parts
  const check = async () => {
    try {
      const peer = await peers.find(entry.resource)
      const answer = await forwarding.caller.send({
        method: 'GET',
        url: slotUrl(peer.url, context.parameters),
        headers: {},
        body: [],
        signal: context.signal,
        timeoutMs: ASK_MS,
        limitMs: ASK_MS,
        maxBytes: forwarding.maxBytes,
      })
      return answer.status === 200 && !isWanted(answer.json)
    } catch (error) {
      log.debug({ err: coerceError(error) }, `could not ask ${entry.resource} whether the answer is there`)
      return false
    }
  }
  return { ...context, arrival: { check } }
}

/** At the last hop: this very request came before, and its answer is at the entry. */
export function isDelivered(
  { delivered }: { delivered: Delivered },
  { answer }: Deployment,
  { parameters }: InferContext,
): boolean {
  return answer === 'direct' && delivered.has(String(parameters[SLOT]))
}

/**
 * At the last hop: sends the outputs to the entry, which may have given up waiting: then nobody wants them.
 * @returns false when they must go back through the chain. @throws ScissionError cancelled.
 */
export async function deliver(
  parts: NextHopParts & { delivered: Delivered },
  live: LiveDeployment,
  outputs: readonly Tensor[],
  context: InferContext,
  own: OwnReport,
): Promise<boolean> {
  const { forwarding, log, peers, breakers, delivered } = parts
  const { id, entry } = live.record
  const peer = await peers.find(entry.resource).catch((error: unknown) => {
    log.debug({ err: coerceError(error) }, `answers of ${id} go back through the chain`)
  })
  if (!peer) return false
  const breaker = breakers.of(peer)
  const admission = breaker.admit(true)
  if (admission === 'probe') probe(parts, peer, breaker, id)
  if (admission !== 'call') return false
  own.report = { ...own.report, emulated: own.report.emulated || peer.emulation !== undefined }
  const limitMs = forwarding.hopTimeoutMs
  const timeoutMs = patienceMs(breaker, limitMs, context, true)
  const message = writeInferResponse({
    modelName: id,
    id: context.id,
    parameters: hopParameters([...readReports(context.parameters), own.report]),
    outputs: wanted(outputs, context.outputs).map((tensor) => ({ tensor, binary: true })),
  })
  const sentAt = performance.now()
  try {
    const answer = await forwarding.caller.send({
      method: 'POST',
      url: slotUrl(peer.url, context.parameters),
      headers: { ...context.headers, ...messageHeaders(message) },
      body: [message.json, ...message.binary],
      signal: context.signal,
      timeoutMs,
      limitMs: timeoutMs,
      maxBytes: forwarding.maxBytes,
    })
    if (answer.status !== 200) throw refusal(answer, peer)
    breaker.answered(performance.now() - sentAt)
    delivered.add(String(context.parameters[SLOT]))
    return true
  } catch (thrown) {
    const error = named(thrown, peer, timeoutMs)
    judge(breaker, error, performance.now() - sentAt, limitMs)
    if (error.code === 'cancelled') throw error
    log.debug({ err: error }, `an answer of ${id} goes back through the chain`)
    return false
  }
}

/** @throws ScissionError badRequest for what is not JSON. */
const isWanted = (json: Uint8Array) => {
  const body = parseJson(json)
  return !isObject(body) || member(body, 'wanted') !== false
}

const wanted = (outputs: readonly Tensor[], names: readonly string[] | undefined) =>
  names ? outputs.filter(({ name }) => names.includes(name)) : outputs

const slotUrl = (url: string, parameters: Parameters) =>
  `${url.replace(/\/$/, '')}/v1/answers/${encodeURIComponent(String(parameters[SLOT]))}`
