/** A deployment as a target under /v2/models: its entry takes the model's inputs and gives the model's outputs. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { countParameter, OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import type { InferResponse } from '../../../shared/oip/response.ts'
import type { Tensor } from '../../../shared/tensor.ts'
import type { Catalog } from '../models/catalog.ts'
import { type Here, readReports, reportRun } from '../models/hop-report.ts'
import type { InferContext, Inference, Target } from '../models/target.ts'
import type { Peer, Peers } from '../peers.ts'
import type { Deployments } from './deployments.ts'
import { type Forward, forward, type ForwardOptions } from './forward.ts'

/** A deployment's plan is not numbered: to the protocol it is one version. */
const VERSION = '1'

export interface DeploymentTargetParts {
  here: Here
  catalog: Catalog
  deployments: Deployments
  peers: Peers
  forwarding: ForwardOptions
}

/** @returns undefined when no deployment has that name. @throws ScissionError notFound for another version. */
export async function findDeployment(
  parts: DeploymentTargetParts,
  name: string,
  version: string | undefined,
): Promise<Target | undefined> {
  const record = await parts.deployments.record(name)
  if (!record) return undefined
  if (version !== undefined && version !== VERSION)
    throw new ScissionError(
      'notFound',
      `deployment "${name}" has one version, "${VERSION}", not "${version}"`,
    )
  const structure = await parts.catalog.structureById(record.model, record.shapesKey)
  return {
    name,
    version: VERSION,
    versions: () => Promise.resolve([VERSION]),
    tensors: () => ({ inputs: structure.inputs, outputs: structure.outputs }),
    properties: {
      deployment: record.id,
      plan: record.planId,
      model: record.model,
      entry: record.entry.url,
      path: record.hops.map((hop) => `${hop.resource}:${hop.from}-${hop.to}`).join(' '),
    },
    checkReady: () => checkReady(parts, record),
    infer: (inputs, context) => infer(parts, record, inputs, context),
  }
}

function checkReady(parts: DeploymentTargetParts, record: Deployment): void {
  const state = parts.deployments.stateOf(record.id)
  if (state !== 'ready')
    throw new ScissionError(
      'notReady',
      `Model version not ready: ${record.id} is ${state ?? 'not loaded yet'}`,
    )
}

async function infer(
  parts: DeploymentTargetParts,
  known: Deployment,
  inputs: Tensor[],
  context: InferContext,
): Promise<Inference> {
  const hop = hopOf(context.parameters)
  if (hop === 0) checkEntry(parts.here.resource, known)
  const planId = context.parameters[`${OWN_PREFIX}plan`]
  const live = await parts.deployments.live(known.id, hop > 0 ? String(planId ?? known.planId) : undefined)
  const stage = live.stages.get(hop)
  if (!stage) {
    throw new ScissionError(
      'badRequest',
      `hop ${hop} of deployment ${known.id} is not on ${parts.here.resource}`,
    )
  }
  const run = await stage.run(inputs, { signal: context.signal, deadline: context.deadline })
  const report = reportRun(parts.here, hop, stage.key, run)
  const next = live.record.hops[hop + 1]
  if (!next) return { outputs: run.outputs, hops: [report] }
  const started = performance.now()
  const { peer, answer } = await sendOn(parts, next.resource, {
    deployment: known.id,
    planId: live.record.planId,
    hop: hop + 1,
    tensors: run.outputs,
    context,
  })
  report.nextMs = performance.now() - started
  report.emulated ||= peer.emulation !== undefined
  return { outputs: answer.outputs, hops: [report, ...readReports(answer.parameters)] }
}

/** A peer that came back at another address may still be known by its old one: then once more. */
async function sendOn(
  { peers, forwarding }: DeploymentTargetParts,
  resource: string,
  job: Omit<Forward, 'peer'>,
): Promise<{ peer: Peer; answer: InferResponse }> {
  const peer = await peers.find(resource)
  try {
    return { peer, answer: await forward(forwarding, { ...job, peer }) }
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code !== 'peerUnavailable') throw error
    const now = await peers.findNow(resource)
    if (now.url === peer.url) throw error
    return { peer: now, answer: await forward(forwarding, { ...job, peer: now }) }
  }
}

/** Which hop a request is for: 0 from a client, else said by the hop before. */
function hopOf(parameters: Parameters): number {
  return countParameter(parameters, `${OWN_PREFIX}hop`, 'the request') ?? 0
}

function checkEntry(resource: string, { id, entry }: Deployment): void {
  if (entry.resource === resource) return
  throw new ScissionError(
    'notFound',
    `deployment ${id} is entered at resource ${entry.resource}: ${entry.url}/v2/models/${id}/infer`,
    { entry },
  )
}
