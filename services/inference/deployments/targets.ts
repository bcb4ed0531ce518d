/** A deployment as a target under /v2/models: its entry takes the model's inputs and gives the model's outputs. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { countParameter, OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../shared/tensor.ts'
import type { Catalog } from '../models/catalog.ts'
import { reportRun } from '../models/hop-report.ts'
import type { InferContext, Inference, Target } from '../models/target.ts'
import type { Deployments } from './deployments.ts'
import { type NextHopParts, runOnward } from './next-hop.ts'
import type { Arrived } from './wire.ts'

/** A deployment's plan is not numbered: to the protocol it is one version. */
const VERSION = '1'

export interface DeploymentTargetParts extends NextHopParts {
  catalog: Catalog
  deployments: Deployments
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
  const arrived: Arrived = hop > 0 ? await parts.wire.incoming(inputs) : { tensors: inputs }
  const run = await stage.run(arrived.tensors, { signal: context.signal, deadline: context.deadline })
  const report = reportRun(parts.here, hop, stage.key, run)
  if (arrived.decodeMs !== undefined) report.decodeMs = arrived.decodeMs
  const work = run.batch && { work: { items: 1, runs: [run.batch] } }
  if (hop === live.record.hops.length - 1) return { outputs: run.outputs, hops: [report], ...work }
  const started = performance.now()
  const onward = await runOnward(parts, live, hop + 1, run.outputs, context)
  const { encoded, wireBytes } = onward.sent ?? {}
  report.nextMs = performance.now() - started - (encoded?.encodeMs ?? 0)
  if (wireBytes !== undefined) report.wireBytes = wireBytes
  if (encoded) Object.assign(report, encoded)
  report.emulated ||= onward.linkEmulated
  return { outputs: onward.outputs, hops: [report, ...onward.hops], ...work }
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
