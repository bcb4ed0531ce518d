/**
 * Calls the next hop, whatever happens there: the plan's resource, else another one of its tier, else the rest of the model
 * on this resource, else an error that names the hop. The tensors stay here until an answer has arrived, so this resource's
 * own stage never runs twice for a request, and a peer that answered is not asked again.
 */
import { waitWithin } from '../../../shared/platform/deadline.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Peer, Peers } from '../registration/peers.ts'
import {
  type Here,
  type HopReport,
  type InferContext,
  type Inference,
  reportRun,
  tensorBytes,
} from '../serving/models/target.ts'
import type { BoundaryCodec } from './boundary-codec.ts'
import { isOfTheRequest } from './blame.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import type { LocalFallback } from './local-fallback.ts'
import { type Crossing, forward, type Onward } from './forward.ts'
import { type CallDeps, type Patience, throughBreaker } from './through-breaker.ts'

export interface NextHopDeps extends CallDeps {
  here: Here
  peers: Peers
  codec: BoundaryCodec
}

/** A crossing, and the bytes of its tensors before encoding. */
interface Job extends Crossing {
  bytes: number
}

/**
 * Runs the hops from `hop` on.
 * @param hop index of the next hop. @param tensors of the boundary before it; their memory is freed after the answer.
 * @param own this hop's report so far.
 * @throws ScissionError of the plan's own resource, which lists what else was tried; invalidValues, invalidTensor, cancelled.
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
  const job = {
    live,
    hop,
    tensors: coded,
    bytes: tensorBytes(tensors),
    context,
    own: { ...own, wireBytes, ...encoded },
  }
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

async function callPeer(deps: NextHopDeps, resource: string, job: Job, otherWay: boolean): Promise<Onward> {
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

function callOnce(deps: NextHopDeps, peer: Peer, job: Job, otherWay: boolean): Promise<Onward> {
  const own = { ...job.own, emulated: job.own.emulated || peer.emulation !== undefined }
  const { live, context } = job
  const route = live.routes.of(job.hop, peer)
  const call = (patience: Patience) => forward(deps.forwarding, { ...job, own, peer, patience })
  return throughBreaker(deps, peer, { route, bytes: job.bytes, context, otherWay, call })
}

const isUnreachable = (error: unknown) =>
  error instanceof ScissionError &&
  error.code === 'peerUnavailable' &&
  error.details?.['status'] === undefined

async function runFallback(
  { here }: NextHopDeps,
  fallback: LocalFallback,
  hop: number,
  tensors: readonly Tensor[],
  { client, signal, deadline }: InferContext,
): Promise<Inference> {
  const late = () => new ScissionError('deadlineExceeded', 'the fallback was not loaded before the deadline')
  // Loading may take longer than this request has; it continues for the next request.
  const stage = await waitWithin(fallback.stage(), { deadline }, late)
  const run = await stage.run(tensors, { client, signal, deadline })
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
 * @throws the error if another peer would not help: the client left, its deadline has passed, what it sent is refused, or it
 * is a fault of ours.
 */
function retryable(error: unknown, { signal, deadline }: InferContext): ScissionError {
  if (!(error instanceof ScissionError)) throw error
  if (error.code === 'cancelled' || isOfTheRequest(error.code) || signal.aborted) throw error
  if (deadline !== undefined && performance.now() >= deadline) throw error
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
