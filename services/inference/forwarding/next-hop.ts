/**
 * From one hop to the next, whatever happens there: the plan's resource, else another of its tier, else the rest of the
 * model here, else an error that names the hop. The tensors stay here until an answer is in, so this resource's own
 * stage never runs twice for a request; and a peer that answered is not asked again.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { DELIVERED, type Here, readReports, reportRun } from '../serving/models/hop-report.ts'
import type { HopReport, InferContext, Inference } from '../serving/models/target.ts'
import type { Peer, Peers } from '../registration/peers.ts'
import type { Breaker, Breakers } from './breaker.ts'
import type { LiveDeployment } from './deployment-hops.ts'
import { askToLoad, forward, type ForwardOptions, isAlive } from './forward.ts'
import { withReport } from './pending-returns.ts'
import type { Wire, WireTensor } from './boundary-codec.ts'
import { waitWithin } from '../../../shared/platform/deadline.ts'

export interface NextHopParts {
  here: Here
  peers: Peers
  breakers: Breakers
  forwarding: ForwardOptions
  wire: Wire
  log: Logger
}

/** This hop's own report, completed with how its tensors were sent on. */
export interface OwnReport {
  report: HopReport
}

interface Job {
  live: LiveDeployment
  /** Index of the hop that is called. */
  hop: number
  tensors: readonly WireTensor[]
  context: InferContext
  /** Told of every attempt, before it is made. */
  sendingTo: (peer: Peer) => HopReport
}

/**
 * @param hop index of the next hop. @param tensors of the boundary before it, given away with its answer: see forward.
 * @param own is told how they were sent before they are. @returns what the hops behind this one made.
 * @throws ScissionError of the plan's own resource, with what else was tried; cancelled.
 */
export async function runOnward(
  parts: NextHopParts,
  live: LiveDeployment,
  hop: number,
  tensors: readonly Tensor[],
  context: InferContext,
  own: OwnReport,
): Promise<Inference> {
  const next = live.record.hops[hop]
  if (!next) throw new ScissionError('internal', `deployment ${live.record.id} has no hop ${hop}`)
  const sent = await parts.wire.outgoing(tensors, next, context.signal)
  const before = own.report
  const sendingTo = ({ emulation }: Peer) => {
    const { wireBytes, encoded } = sent
    const emulated = before.emulated || emulation !== undefined
    own.report = { ...before, wireBytes, ...encoded, emulated }
    return own.report
  }
  const job = { live, hop, tensors: sent.tensors, context, sendingTo }
  const candidates = [next.resource, ...(next.alternates ?? [])]
  const rest = live.rests.get(hop)
  const failures: ScissionError[] = []
  for (const [place, resource] of candidates.entries()) {
    const otherWay = rest !== undefined || place < candidates.length - 1
    try {
      const onward = await callPeer(parts, resource, job, otherWay)
      return place === 0 ? onward : inPlaceOf(next.resource, onward)
    } catch (error) {
      failures.push(movableOn(error, context))
      if (await context.arrival?.check()) return { outputs: [], hops: [], delivered: true }
      job.context = whileNotArrived(context)
    }
  }
  if (!rest) throw summary(failures)
  own.report = before
  try {
    return inPlaceOf(next.resource, await runRest(parts, live, hop, tensors, job.context))
  } catch (error) {
    throw summary([...failures, movableOn(error, context)])
  }
}

async function callPeer(
  parts: NextHopParts,
  resource: string,
  job: Job,
  otherWay: boolean,
): Promise<Inference> {
  const peer = await parts.peers.find(resource)
  try {
    return await callOnce(parts, peer, job, otherWay)
  } catch (error) {
    if (!isUnreachable(error)) throw error
    // It may have come back at another address, while we still know the old one.
    const now = await parts.peers.findNow(resource)
    if (now.url === peer.url && now.resource.startedAt === peer.resource.startedAt) throw error
    return callOnce(parts, now, job, otherWay)
  }
}

async function callOnce(parts: NextHopParts, peer: Peer, job: Job, otherWay: boolean): Promise<Inference> {
  const breaker = parts.breakers.of(peer)
  const admission = breaker.admit(otherWay)
  if (admission === 'probe') probe(parts, peer, breaker, job.live.record.id)
  if (admission !== 'call') throw notCalled(peer, breaker)
  const limitMs = parts.forwarding.hopTimeoutMs
  const context = withReport(job.context, job.sendingTo(peer))
  const sentAt = performance.now()
  try {
    const answer = await forward(parts.forwarding, {
      peer,
      deployment: job.live.record.id,
      planId: job.live.record.planId,
      hop: job.hop,
      tensors: job.tensors,
      context,
      patienceMs: patienceMs(breaker, limitMs, context, otherWay),
    })
    breaker.answered(performance.now() - sentAt)
    const hops = readReports(answer.parameters)
    if (answer.parameters[DELIVERED] === true) return { outputs: [], hops, delivered: true }
    return { outputs: answer.outputs, hops }
  } catch (error) {
    judge(breaker, error, performance.now() - sentAt, limitMs)
    throw error
  }
}

/** Half of what is left of the client's time is for the other way. */
export function patienceMs(
  breaker: Breaker,
  limitMs: number,
  { deadline }: InferContext,
  otherWay: boolean,
): number {
  if (!otherWay) return limitMs
  const half = deadline === undefined ? limitMs : (deadline - Date.now()) / 2
  return Math.max(1, Math.min(half, breaker.patienceMs(limitMs)))
}

export function judge(breaker: Breaker, error: unknown, tookMs: number, limitMs: number): void {
  if (!(error instanceof ScissionError) || error.code === 'cancelled') return breaker.undecided()
  if (isAlive(error)) return breaker.answered(tookMs)
  const silent = error.code === 'deadlineExceeded'
  if (silent && !breaker.blamedFor(tookMs, limitMs)) return breaker.undecided()
  breaker.failed(error.message)
}

/** Behind the back of requests: is it there, and has it the deployment loaded? */
export function probe(
  { forwarding, log }: NextHopParts,
  peer: Peer,
  breaker: Breaker,
  deployment: string,
): void {
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

async function runRest(
  { here }: NextHopParts,
  live: LiveDeployment,
  hop: number,
  tensors: readonly Tensor[],
  { signal, deadline }: InferContext,
): Promise<Inference> {
  const rest = live.rests.get(hop)
  if (!rest) throw new ScissionError('internal', `deployment ${live.record.id} has no fallback at hop ${hop}`)
  const late = () => new ScissionError('deadlineExceeded', 'the fallback was not loaded before the deadline')
  // Loading may take longer than this request has; it goes on for the next one.
  const stage = await waitWithin(rest.stage(), { deadline }, late)
  const run = await stage.run(tensors, { signal, deadline })
  return { outputs: run.outputs, hops: [reportRun(here, hop, stage.key, run)] }
}

/** Where the answer can come by another way, what is computed instead of it is given up when it does. */
function whileNotArrived(context: InferContext): InferContext {
  const arrived = context.arrival?.signal
  return arrived ? { ...context, signal: AbortSignal.any([context.signal, arrived]) } : context
}

function inPlaceOf(resource: string, onward: Inference): Inference {
  const [first, ...others] = onward.hops
  return first ? { ...onward, hops: [{ ...first, insteadOf: resource }, ...others] } : onward
}

/** @throws what is no reason to look elsewhere: the client is gone, its time is up, or a fault of ours. */
function movableOn(error: unknown, { signal, deadline }: InferContext): ScissionError {
  if (!(error instanceof ScissionError)) throw error
  if (error.code === 'cancelled' || signal.aborted) throw error
  if (deadline !== undefined && Date.now() >= deadline) throw error
  return error
}

/** The first failure is the plan's own resource's: its code and name, and what else was tried. */
function summary(failures: readonly ScissionError[]): ScissionError {
  const [first, ...others] = failures
  if (!first) return new ScissionError('internal', 'no hop was tried')
  if (others.length === 0) return first
  const tried = others.map((error) => error.message).join('; ')
  return new ScissionError(first.code, `${first.message}; instead: ${tried}`, first.details, first)
}
