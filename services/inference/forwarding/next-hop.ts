/**
 * Calls the next hop, whatever happens there: the plan's resource, else another one of its tier, else the rest of the model
 * on this resource, else an error that names the hop. The tensors stay here until an answer has arrived, so this resource's
 * own stage never runs twice for a request, and a peer that answered is not asked again.
 */
import { waitWithin } from '../../../shared/platform/deadline.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Peer, Peers } from '../registration/peers.ts'
import {
  type Here,
  type HopReport,
  type InferContext,
  type Inference,
  reportRun,
} from '../serving/models/target.ts'
import type { BoundaryCodec } from './boundary-codec.ts'
import type { Breaker, Breakers } from './breaker.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import type { LocalFallback } from './local-fallback.ts'
import { askToLoad, type Crossing, forward, type ForwardOptions, isAlive, type Onward } from './forward.ts'

export interface NextHopDeps {
  here: Here
  peers: Peers
  breakers: Breakers
  forwarding: ForwardOptions
  codec: BoundaryCodec
  log: Logger
}

/**
 * Runs the hops from `hop` on.
 * @param hop index of the next hop. @param tensors of the boundary before it; their memory is freed after the answer.
 * @param own this hop's report so far.
 * @throws ScissionError of the plan's own resource, which lists what else was tried; invalidValues, cancelled.
 */
export async function runOnward(
  deps: NextHopDeps,
  live: LiveDeployment,
  hop: number,
  tensors: readonly Tensor[],
  context: InferContext,
  own: HopReport,
): Promise<Onward> {
  const next = live.record.hops[hop]
  if (!next) throw new ScissionError('internal', `deployment ${live.record.id} has no hop ${hop}`)
  const { wireBytes, encoded, tensors: coded } = await deps.codec.encode(tensors, next, context.signal)
  const job = { live, hop, tensors: coded, context, own: { ...own, wireBytes, ...encoded } }
  const candidates = [next.resource, ...(next.alternates ?? [])]
  const fallback = live.fallbacks.get(hop)
  const failures: ScissionError[] = []
  for (const [place, resource] of candidates.entries()) {
    const otherWay = fallback !== undefined || place < candidates.length - 1
    try {
      const onward = await callPeer(deps, resource, job, otherWay)
      return place === 0
        ? onward
        : { ...onward, inference: insteadOf(next.resource, onward.inference, failures) }
    } catch (error) {
      failures.push(retryable(error, context))
      if (await context.arrival?.check())
        return { inference: { outputs: [], hops: [], delivered: true }, own }
      job.context = untilArrived(context)
    }
  }
  if (!fallback) throw summary(failures)
  try {
    const inference = await runFallback(deps, fallback, hop, tensors, job.context)
    return { inference: insteadOf(next.resource, inference, failures), own }
  } catch (error) {
    throw summary([...failures, retryable(error, context)])
  }
}

async function callPeer(
  deps: NextHopDeps,
  resource: string,
  job: Crossing,
  otherWay: boolean,
): Promise<Onward> {
  const peer = await deps.peers.find(resource)
  try {
    return await callOnce(deps, peer, job, otherWay)
  } catch (error) {
    if (!isUnreachable(error)) throw error
    // The peer may have restarted at another address than the one known here.
    const now = await deps.peers.findNow(resource)
    if (now.url === peer.url && now.resource.startedAt === peer.resource.startedAt) throw error
    return callOnce(deps, now, job, otherWay)
  }
}

function callOnce(deps: NextHopDeps, peer: Peer, job: Crossing, otherWay: boolean): Promise<Onward> {
  const own = { ...job.own, emulated: job.own.emulated || peer.emulation !== undefined }
  const { live, context } = job
  return throughBreaker(deps, peer, live.record.id, context, otherWay, (patienceMs) =>
    forward(deps.forwarding, { ...job, own, peer, patienceMs }),
  )
}

/**
 * Calls a peer unless its breaker is open, and tells the breaker how that ended.
 * @param otherWay true if the request can be answered without this peer.
 * @param call is given the ms to wait for the peer.
 * @throws ScissionError peerUnavailable with `details.refused` if the peer was not called; else what `call` throws.
 */
export async function throughBreaker<T>(
  deps: NextHopDeps,
  peer: Peer,
  deployment: string,
  context: InferContext,
  otherWay: boolean,
  call: (patienceMs: number) => Promise<T>,
): Promise<T> {
  const breaker = deps.breakers.of(peer)
  const admission = breaker.admit(otherWay)
  if (admission === 'probe') probe(deps, peer, breaker, deployment)
  if (admission !== 'call') throw notCalled(peer, breaker)
  const limitMs = deps.forwarding.hopTimeoutMs
  const sentAt = performance.now()
  try {
    const result = await call(patienceMs(breaker, limitMs, context, otherWay))
    breaker.answered(performance.now() - sentAt)
    return result
  } catch (error) {
    judge(breaker, error, performance.now() - sentAt, limitMs)
    throw error
  }
}

/** ms to wait for a peer. If there is another way, half of the client's remaining time is kept for it. */
function patienceMs(
  breaker: Breaker,
  limitMs: number,
  { deadline }: InferContext,
  otherWay: boolean,
): number {
  if (!otherWay) return limitMs
  const half = deadline === undefined ? limitMs : (deadline - Date.now()) / 2
  return Math.max(1, Math.min(half, breaker.patienceMs(limitMs)))
}

/** Tells the breaker how a call ended. */
function judge(breaker: Breaker, error: unknown, tookMs: number, limitMs: number): void {
  if (!(error instanceof ScissionError) || error.code === 'cancelled') return breaker.undecided()
  if (isAlive(error)) return breaker.answered(tookMs)
  const silent = error.code === 'deadlineExceeded'
  if (silent && !breaker.blamedFor(tookMs, limitMs)) return breaker.undecided()
  breaker.failed(error.message)
}

/** Asks a peer in the background, not by a request, whether it is reachable and has the deployment loaded. */
function probe({ forwarding, log }: NextHopDeps, peer: Peer, breaker: Breaker, deployment: string): void {
  askToLoad(forwarding, peer, deployment).then(
    () => {
      breaker.answered(undefined)
      log.info(`${peer.resource.name} is back: requests for ${deployment} go there again`)
    },
    (error: unknown) => breaker.failed(error instanceof Error ? error.message : String(error)),
  )
}

const notCalled = (peer: Peer, breaker: Breaker) =>
  new ScissionError(
    'peerUnavailable',
    `hop ${peer.resource.name} is left alone after several failures, the last: ${breaker.reason}`,
    { resource: peer.resource.name, refused: true },
  )

const isUnreachable = (error: unknown) =>
  error instanceof ScissionError &&
  error.code === 'peerUnavailable' &&
  error.details?.['status'] === undefined

async function runFallback(
  { here }: NextHopDeps,
  fallback: LocalFallback,
  hop: number,
  tensors: readonly Tensor[],
  { signal, deadline }: InferContext,
): Promise<Inference> {
  const late = () => new ScissionError('deadlineExceeded', 'the fallback was not loaded before the deadline')
  // Loading may take longer than this request has; it continues for the next request.
  const stage = await waitWithin(fallback.stage(), { deadline }, late)
  const run = await stage.run(tensors, { signal, deadline })
  return { outputs: run.outputs, hops: [reportRun(here, hop, stage.key, run)] }
}

/** If the answer may also arrive directly, its arrival cancels what is computed instead of it. */
function untilArrived(context: InferContext): InferContext {
  const arrived = context.arrival?.signal
  return arrived ? { ...context, signal: AbortSignal.any([context.signal, arrived]) } : context
}

function insteadOf(resource: string, onward: Inference, failures: readonly ScissionError[]): Inference {
  const [first, ...others] = onward.hops
  const standInReason = failures[0]?.message ?? 'not known'
  return first ? { ...onward, standInReason, hops: [{ ...first, insteadOf: resource }, ...others] } : onward
}

/**
 * @throws the error if another peer would not help: the client left, its deadline has passed, its values are refused, or it
 * is a fault of ours.
 */
function retryable(error: unknown, { signal, deadline }: InferContext): ScissionError {
  if (!(error instanceof ScissionError)) throw error
  if (error.code === 'cancelled' || error.code === 'invalidValues' || signal.aborted) throw error
  if (deadline !== undefined && Date.now() >= deadline) throw error
  return error
}

/** The error of the plan's own resource, with a list of what else was tried. */
function summary(failures: readonly ScissionError[]): ScissionError {
  const [first, ...others] = failures
  if (!first) return new ScissionError('internal', 'no hop was tried')
  if (others.length === 0) return first
  const tried = others.map((error) => error.message).join('; ')
  return new ScissionError(first.code, `${first.message}; instead: ${tried}`, first.details, first)
}
