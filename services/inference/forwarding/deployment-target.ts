/** A deployment as a target under /v2/models: its entry takes the model's inputs and gives the model's outputs. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { countParameter, OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Catalog } from '../serving/models/catalog.ts'
import { reportRun } from '../serving/models/hop-report.ts'
import type { InferContext, Inference, Target } from '../serving/models/target.ts'
import type { Deployments, LiveDeployment } from './deployment-hops.ts'
import { askingEntry, deliver, isDelivered, receive, wayOf } from './direct-answer.ts'
import { type NextHopParts, type OwnReport, runOnward } from './next-hop.ts'
import type { Delivered, ReturnSlots } from './pending-returns.ts'
import type { Arrived } from './boundary-codec.ts'

/** A deployment's plan is not numbered: to the protocol it is one version. */
const VERSION = '1'

export interface DeploymentTargetParts extends NextHopParts {
  catalog: Catalog
  deployments: Deployments
  returns: ReturnSlots
  delivered: Delivered
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
  if (hop > 0 && isDelivered(parts, live.record, context)) return { outputs: [], hops: [], delivered: true }
  const arrived: Arrived = hop > 0 ? await parts.wire.incoming(inputs, context.signal) : { tensors: inputs }
  const run = await stage.run(arrived.tensors, { signal: context.signal, deadline: context.deadline })
  const own: OwnReport = { report: reportRun(parts.here, hop, stage.key, run) }
  const planned = live.record.hops[hop]?.resource
  if (planned !== undefined && planned !== parts.here.resource) own.report.insteadOf = planned
  if (arrived.decodeMs !== undefined) own.report.decodeMs = arrived.decodeMs
  const work = run.batch && { work: { items: 1, runs: [run.batch] } }
  const onward = await behind(parts, live, hop, run.outputs, context, own)
  return { ...onward, ...work, hops: [own.report, ...onward.hops] }
}

/** What the hops behind `hop` make of its tensors; at the last one, the tensors themselves. */
async function behind(
  parts: DeploymentTargetParts,
  live: LiveDeployment,
  hop: number,
  tensors: Tensor[],
  context: InferContext,
  own: OwnReport,
): Promise<Inference> {
  const way = wayOf(live.record, hop, context)
  if (hop === live.record.hops.length - 1) {
    const delivered = way === 'to the entry' && (await deliver(parts, live, tensors, context, own))
    return delivered ? { outputs: [], hops: [], delivered } : { outputs: tensors, hops: [] }
  }
  const started = performance.now()
  const onwards = (through: InferContext) => runOnward(parts, live, hop + 1, tensors, through, own)
  const onward =
    way === 'from the last hop'
      ? await receive(parts, context, onwards)
      : await onwards(way === 'past this hop' ? askingEntry(parts, live.record, context) : context)
  const nextMs = performance.now() - started - (own.report.encodeMs ?? 0)
  own.report = { ...own.report, nextMs }
  return onward
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
