/**
 * Direct answers (`answer: direct`): the last hop sends the outputs straight to the entry, past the hops between.
 *
 *   entry ──request, slot──▶ middle ──request, slot──▶ last
 *     ▲                        ▲                         │ 1. the outputs, to the slot
 *     └────────────────────────┼─────────────────────────┘
 *     ◀──────"delivered"───────┴──────"delivered"──────── 2. after the entry has received them
 *
 * The entry opens a slot with a name that cannot be guessed. The last hop takes the entry's address from the deployment's
 * record, so no request decides where an answer is sent. The chain is still used for errors, for cancelling, and for the
 * outputs if the entry cannot be reached. Whichever answer arrives first counts.
 */
import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { isObject, member, parseJson } from '../../../shared/oip/exact-json.ts'
import { messageHeaders } from '../../../shared/oip/binary-message.ts'
import { OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import { type InferResponse, writeInferResponse } from '../../../shared/oip/response-message.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { hopParameters, readReports } from '../serving/models/hop-report.ts'
import type { HopReport, InferContext } from '../serving/models/target.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import { named, refusal, SLOT } from './forward.ts'
import { judge, type NextHopDeps, type Onward, patienceMs, probe, sentPart } from './next-hop.ts'

/** ms that a hop waits when it asks the entry: asking must not cost more than the computation that it may save. */
const ASK_MS = 700

const SLOT_NAME_BYTES = 16

/** Names of delivered answers that a last hop remembers: a request is sent again only within its hop's patience. */
const MAX_DELIVERED_COUNT = 4096

/** The part of a hop in a direct answer; undefined if the answer passes through the chain. */
export type DirectRole = 'entry' | 'middle' | 'last' | undefined

export function directRoleOf(
  { answer, hops }: Deployment,
  hop: number,
  { parameters }: InferContext,
): DirectRole {
  // With two hops there is none between them to skip.
  if (answer !== 'direct' || hops.length < 3) return undefined
  if (hop === 0) return 'entry'
  if (parameters[SLOT] === undefined) return undefined
  return hop < hops.length - 1 ? 'middle' : 'last'
}

export interface ReturnSlot {
  name: string
  /** Resolves to the answer. Never rejects. */
  delivered: Promise<InferResponse>
  /** Aborted after the answer arrived. */
  arrived: AbortSignal
  close: () => void
}

/** The slots of an entry, in which last hops deliver their answers. */
export class ReturnSlots {
  readonly #open = new Map<string, (response: InferResponse) => void>()

  open(): ReturnSlot {
    const name = randomBytes(SLOT_NAME_BYTES).toString('hex')
    const arrived = new AbortController()
    const close = () => this.#open.delete(name)
    const delivered = new Promise<InferResponse>((resolve) =>
      this.#open.set(name, (response) => {
        close()
        arrived.abort()
        resolve(response)
      }),
    )
    return { name, delivered, arrived: arrived.signal, close }
  }

  /** True if a request waits for this answer. */
  isOpen(name: string): boolean {
    return this.#open.has(name)
  }

  /** @returns false if no request waits for it: the slot was never opened, has its answer, or was given up. */
  deliver(name: string, response: InferResponse): boolean {
    const take = this.#open.get(name)
    take?.(response)
    return take !== undefined
  }
}

/** Names of the answers that a last hop has delivered: a request that is sent again is not computed again. */
export class Delivered {
  readonly #names = new LRUCache<string, true>({ max: MAX_DELIVERED_COUNT })

  add(name: string): void {
    this.#names.set(name, true)
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }
}

/**
 * At the entry: waits for the direct answer and for the chain, whichever is first.
 * @param through calls the next hop. @throws ScissionError as `through` does; peerUnavailable if the chain says that the
 * answer was delivered but it was not.
 */
export async function receive(
  { returns, log }: NextHopDeps & { returns: ReturnSlots },
  context: InferContext,
  through: (context: InferContext) => Promise<Onward>,
): Promise<Onward> {
  const slot = returns.open()
  const arrival = { check: async () => slot.arrived.aborted, signal: slot.arrived }
  const parameters = { ...withoutOwn(context.parameters), [SLOT]: slot.name }
  const chain = through({ ...context, parameters, arrival })
  chain.catch((error: unknown) => {
    if (slot.arrived.aborted)
      log.debug({ err: coerceError(error) }, 'a chain failed after its answer had arrived')
  })
  try {
    const first = await Promise.race([slot.delivered.then(readDelivered), chain])
    if (first.inference.delivered)
      throw new ScissionError(
        'peerUnavailable',
        'the next hop says that its answer was delivered here; it was not',
      )
    return first
  } finally {
    slot.close()
  }
}

/** The reports of all hops travelled with the request, the entry's own included: it says how the tensors were sent. */
function readDelivered({ outputs, parameters }: InferResponse): Onward {
  const reports = readReports(parameters)
  const own = reports.find(({ hop }) => hop === 0)
  return {
    inference: { outputs, hops: reports.filter(({ hop }) => hop > 0) },
    sent: own ? sentPart(own) : {},
  }
}

/** Drops the client's parameters with our prefix, which must not reach the next hops. */
function withoutOwn(parameters: Parameters): Parameters {
  return Object.fromEntries(
    Object.entries(parameters).filter(
      ([key]) => !key.startsWith(OWN_PREFIX) || key === `${OWN_PREFIX}timing`,
    ),
  )
}

/** In the middle: before anything is computed a second time, the entry is asked whether it still waits. */
export function askingEntry(deps: NextHopDeps, { entry }: Deployment, context: InferContext): InferContext {
  const { peers, forwarding, log } = deps
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

/** At the last hop: true if the answer to this very request is already at the entry. */
export function isDelivered(
  { delivered }: { delivered: Delivered },
  { answer }: Deployment,
  { parameters }: InferContext,
): boolean {
  return answer === 'direct' && delivered.has(String(parameters[SLOT]))
}

export interface Delivery {
  /** False if the outputs must go back through the chain. */
  delivered: boolean
  /** True if the link to the entry was used and is emulated. */
  emulated: boolean
}

const NOT_DELIVERED: Delivery = { delivered: false, emulated: false }

/**
 * At the last hop: sends the outputs to the entry. An entry that no longer waits accepts and drops them.
 * @param own this hop's report, which goes along. @throws ScissionError cancelled.
 */
export async function deliver(
  deps: NextHopDeps & { delivered: Delivered },
  live: LiveDeployment,
  outputs: readonly Tensor[],
  context: InferContext,
  own: HopReport,
): Promise<Delivery> {
  const { forwarding, log, peers, breakers, delivered } = deps
  const { id, entry } = live.record
  const peer = await peers.find(entry.resource).catch((error: unknown) => {
    log.debug({ err: coerceError(error) }, `answers of ${id} go back through the chain`)
  })
  if (!peer) return NOT_DELIVERED
  const breaker = breakers.of(peer)
  const admission = breaker.admit(true)
  if (admission === 'probe') probe(deps, peer, breaker, id)
  if (admission !== 'call') return NOT_DELIVERED
  const emulated = peer.emulation !== undefined
  const limitMs = forwarding.hopTimeoutMs
  const timeoutMs = patienceMs(breaker, limitMs, context, true)
  const report = { ...own, emulated: own.emulated || emulated }
  const message = writeInferResponse({
    modelName: id,
    id: context.id,
    parameters: hopParameters([...readReports(context.parameters), report]),
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
    return { delivered: true, emulated }
  } catch (thrown) {
    const error = named(thrown, peer, timeoutMs)
    judge(breaker, error, performance.now() - sentAt, limitMs)
    if (error.code === 'cancelled') throw error
    log.debug({ err: error }, `an answer of ${id} goes back through the chain`)
    return { delivered: false, emulated }
  }
}

/** @throws ScissionError badRequest if the answer is not JSON. */
const isWanted = (json: Uint8Array) => {
  const body = parseJson(json)
  return !isObject(body) || member(body, 'wanted') !== false
}

const wanted = (outputs: readonly Tensor[], names: readonly string[] | undefined) =>
  names ? outputs.filter(({ name }) => names.includes(name)) : outputs

const slotUrl = (url: string, parameters: Parameters) =>
  `${url.replace(/\/$/, '')}/v1/answers/${encodeURIComponent(String(parameters[SLOT]))}`
