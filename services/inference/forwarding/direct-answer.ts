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
import {
  hopParameters,
  type HopReport,
  type InferContext,
  type Inference,
  readReports,
  tensorBytes,
} from '../serving/models/target.ts'
import type { CallAnswer } from '../http/call.ts'
import type { Peer } from '../registration/peers.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import { askPeer, type ForwardOptions, type Onward, SLOT } from './forward.ts'
import type { NextHopDeps } from './next-hop.ts'
import { type Patience, throughBreaker } from './through-breaker.ts'

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

interface Slot {
  take: (response: InferResponse) => void
  maxBytes: number
}

/** The slots of an entry, in which last hops deliver their answers. */
export class ReturnSlots {
  readonly #open = new Map<string, Slot>()

  /**
   * Opens a slot. `delivered` resolves to the answer and never rejects; `arrived` is aborted then.
   * @param maxBytes that the deployment's answers may have.
   */
  open(maxBytes: number) {
    const name = randomBytes(SLOT_NAME_BYTES).toString('hex')
    const arrived = new AbortController()
    const close = () => this.#open.delete(name)
    const delivered = new Promise<InferResponse>((resolve) =>
      this.#open.set(name, {
        maxBytes,
        take: (response) => {
          close()
          arrived.abort()
          resolve(response)
        },
      }),
    )
    return { name, delivered, arrived: arrived.signal, close }
  }

  /** Bytes that the answer may have; undefined if no request waits for it. */
  maxBytesOf(name: string): number | undefined {
    return this.#open.get(name)?.maxBytes
  }

  /** @returns false if no request waits for it: the slot was never opened, has its answer, or was given up. */
  deliver(name: string, response: InferResponse): boolean {
    const slot = this.#open.get(name)
    slot?.take(response)
    return slot !== undefined
  }
}

/** Names of the answers that a last hop has delivered: a request that is sent again is not computed again. */
export class Delivered extends LRUCache<string, true> {
  constructor() {
    super({ max: MAX_DELIVERED_COUNT })
  }
}

/**
 * At the entry: waits for the direct answer and for the chain, whichever is first.
 * @param own this hop's report. @param through calls the next hop. @throws ScissionError as `through` does; peerUnavailable if the chain says that the
 * answer was delivered but it was not.
 */
export async function receive(
  { returns, log }: NextHopDeps & { returns: ReturnSlots },
  context: InferContext,
  own: HopReport,
  through: (context: InferContext) => Promise<Onward>,
): Promise<Onward> {
  const slot = returns.open(context.messageBytes ?? 0)
  const arrival = { check: async () => slot.arrived.aborted, signal: slot.arrived }
  const parameters = { ...withoutOwn(context.parameters), [SLOT]: slot.name }
  const chain = through({ ...context, parameters, arrival })
  chain.catch((error: unknown) => {
    if (slot.arrived.aborted)
      log.debug({ err: coerceError(error) }, 'a chain failed after its answer had arrived')
  })
  try {
    const first = await Promise.race([slot.delivered.then((answer) => readDelivered(answer, own)), chain])
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
function readDelivered({ outputs, parameters }: InferResponse, own: HopReport): Onward {
  const [first, ...others] = readReports(parameters)
  if (first?.hop !== 0) return { inference: { outputs, hops: readReports(parameters) }, own }
  return { inference: { outputs, hops: others }, own: first }
}

/** Drops the client's parameters with our prefix, which hops would take for each other's. */
export function withoutOwn(parameters: Parameters): Parameters {
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
      const { signal } = context
      const call = {
        method: 'GET',
        headers: {},
        body: [],
        signal,
        timeoutMs: ASK_MS,
        limitMs: ASK_MS,
      } as const
      const path = slotPath(context.parameters)
      return await askPeer(forwarding, peer, path, call, ({ json }) => !readWanted(forwarding, json, peer))
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

/**
 * At the last hop: sends the outputs to the entry; if it cannot be reached, they go back through the chain. An entry that no
 * longer waits accepts and drops them.
 * @param own this hop's report, which goes along. @throws ScissionError cancelled.
 */
export async function deliver(
  deps: NextHopDeps & { delivered: Delivered },
  live: LiveDeployment,
  outputs: Tensor[],
  context: InferContext,
  own: HopReport,
): Promise<Inference> {
  const { forwarding, log, peers, delivered } = deps
  const { id, entry } = live.record
  const peer = await peers.find(entry.resource).catch((error: unknown) => {
    log.debug({ err: coerceError(error) }, `answers of ${id} go back through the chain`)
  })
  if (!peer) return { outputs, hops: [own] }
  const report = { ...own, emulated: own.emulated || peer.emulation !== undefined }
  try {
    const route = live.routes.of(undefined, peer)
    const request = { route, bytes: tensorBytes(outputs), context, otherWay: true }
    const send = ({ ms, hardMs, more }: Patience) => {
      const message = writeInferResponse({
        modelName: id,
        id: context.id,
        parameters: hopParameters([...readReports(context.parameters), report]),
        outputs: wanted(outputs, context.outputs).map((tensor) => ({ tensor, binary: true })),
      })
      const call = {
        method: 'POST',
        headers: { ...context.headers, ...messageHeaders(message) },
        body: [message.json, ...message.binary],
        signal: context.signal,
        timeoutMs: Math.ceil(hardMs),
        limitMs: Math.ceil(ms),
        more,
      } as const
      const read = ({ json }: CallAnswer) => void readWanted(forwarding, json, peer)
      return askPeer(forwarding, peer, slotPath(context.parameters), call, read)
    }
    await throughBreaker(deps, peer, { ...request, call: send })
    delivered.set(String(context.parameters[SLOT]), true)
    return { outputs: [], hops: [report], delivered: true }
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code === 'cancelled') throw error
    log.debug({ err: error }, `an answer of ${id} goes back through the chain`)
    // An entry that was not called did not use its emulated link.
    return { outputs, hops: [error.details?.['refused'] === true ? own : report] }
  }
}

const wanted = (outputs: readonly Tensor[], names: readonly string[] | undefined) =>
  names ? outputs.filter(({ name }) => names.includes(name)) : outputs

/**
 * Reads what the entry says of a slot.
 * @returns whether an answer was waited for. @throws Error if it is not the entry that says so.
 */
function readWanted({ doubt }: ForwardOptions, json: Uint8Array, peer: Peer): boolean {
  const body = parseJson(json)
  const wanted = isObject(body) ? member(body, 'wanted') : undefined
  const by = isObject(body) ? member(body, 'resource') : undefined
  if (typeof wanted === 'boolean' && (by === undefined || by === peer.resource.name)) return wanted
  doubt?.(peer)
  throw new Error(`${typeof by === 'string' ? by : 'what is no inference service'} answered`)
}

const slotPath = (parameters: Parameters) => `/v1/answers/${encodeURIComponent(String(parameters[SLOT]))}`
