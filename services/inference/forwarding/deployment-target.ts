/**
 * A deployment as a target under /v2/models. Its entry takes the model's inputs and returns the model's outputs; every hop
 * decodes, runs its stage, and calls the next hop.
 */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import {
  formatShapeRanges,
  refuseOutside,
  type ShapeRanges,
  sizesOf,
} from '../../../shared/contracts/shape-ranges.ts'
import { waitWithin } from '../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { countParameter, OWN_PREFIX } from '../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Catalog } from '../serving/models/catalog.ts'
import { checkDeclared } from '../serving/models/request-structures.ts'
import { givenUp } from '../serving/executor/executor-thread.ts'
import {
  type HopReport,
  type InferContext,
  type Inference,
  reportRun,
  type Target,
  type Targets,
  type TargetTensor,
} from '../serving/models/target.ts'
import type { Deployments, LiveDeployment } from './deployment-hops.ts'
import {
  askingEntry,
  deliver,
  type Delivered,
  directRoleOf,
  isDelivered,
  receive,
  type ReturnSlots,
} from './direct-answer.ts'
import type { Onward } from './forward.ts'
import { type NextHopDeps, runOnward } from './next-hop.ts'
import { withoutUnread } from '../serving/models/unread-inputs.ts'
import type { DecodedBoundary } from './boundary-codec.ts'

/** A deployment has one version in the protocol, because plans are not numbered. */
const VERSION = '1'

export interface DeploymentTargetDeps extends NextHopDeps {
  catalog: Catalog
  deployments: Deployments
  returns: ReturnSlots
  delivered: Delivered
}

/** Finds a deployment, else what `models` finds. */
export function targetsOf(deps: DeploymentTargetDeps, models: Targets): Targets {
  return {
    async find(name, version, layers) {
      const deployment = layers ? undefined : await findDeployment(deps, name, version)
      return deployment ?? models.find(name, version, layers)
    },
  }
}

/** @returns undefined if no deployment has that name. @throws ScissionError notFound for another version. */
async function findDeployment(
  deps: DeploymentTargetDeps,
  name: string,
  version: string | undefined,
): Promise<Target | undefined> {
  const record = await deps.deployments.record(name)
  if (!record) return undefined
  if (version !== undefined && version !== VERSION)
    throw new ScissionError(
      'notFound',
      `deployment "${name}" has one version, "${VERSION}", not "${version}"`,
    )
  const structure = await deps.catalog.structure(record.model, record.shapesKey)
  return {
    name,
    version: VERSION,
    versions: () => Promise.resolve([VERSION]),
    tensors: () => ({ inputs: inputsOf(record, structure), outputs: structure.outputs }),
    properties: {
      deployment: record.id,
      plan: record.planId,
      model: record.model,
      entry: record.entry.url,
      path: record.hops.map((hop) => `${hop.resource}:${hop.from}-${hop.to}`).join(' '),
      ...(record.shapes && { shapes: formatShapeRanges(record.shapes) }),
    },
    checkReady: () => checkReady(deps, record),
    infer: (inputs, context) => runHop(deps, record, structure, inputs, context),
  }
}

function checkReady(deps: DeploymentTargetDeps, record: Deployment): void {
  const state = deps.deployments.stateOf(record.id)
  if (state !== 'ready')
    throw new ScissionError(
      'notReady',
      `Model version not ready: ${record.id} is ${state ?? 'not loaded yet'}`,
    )
}

/** Runs this resource's stage of the hop that the request names, and everything behind it. */
async function runHop(
  deps: DeploymentTargetDeps,
  known: Deployment,
  structure: Structure,
  inputs: Tensor[],
  context: InferContext,
): Promise<Inference> {
  // A client names no hop: its request is for the entry.
  const hop = countParameter(context.parameters, `${OWN_PREFIX}hop`, 'the request') ?? 0
  if (hop === 0) {
    checkEntry(deps.here.resource, known)
    await checkShapes(deps, known, inputs)
  }
  const planId = context.parameters[`${OWN_PREFIX}plan`]
  const loading = deps.deployments.live(known.id, hop > 0 ? String(planId ?? known.planId) : undefined)
  // Loading may take longer than this request may wait; it continues for the next one.
  const live = await waitWithin(loading, context, (why) => givenUp(`loading deployment ${known.id}`, why))
  const stage = live.stages.get(hop)
  if (!stage) {
    throw new ScissionError(
      'badRequest',
      `hop ${hop} of deployment ${known.id} is not on ${deps.here.resource}`,
    )
  }
  if (hop > 0 && isDelivered(deps, live.record, context)) return { outputs: [], hops: [], delivered: true }
  // A few bytes may decode to the largest tensor: only those that the stage takes are decoded.
  if (hop > 0) stage.checkNames(inputs)
  const arrived: DecodedBoundary =
    hop > 0
      ? await deps.codec.decode(inputs, context.signal)
      : { tensors: withoutUnread(structure, structure.inputs, inputs) }
  const run = await stage.run(arrived.tensors, { signal: context.signal, deadline: context.deadline })
  const planned = live.record.hops[hop]?.resource
  const own: HopReport = {
    ...reportRun(deps.here, hop, stage.key, run),
    ...(planned !== undefined && planned !== deps.here.resource && { insteadOf: planned }),
    ...(arrived.decodeMs !== undefined && { decodeMs: arrived.decodeMs }),
  }
  const work = run.batch && { work: { items: 1, runs: [run.batch] } }
  return { ...(await passOn(deps, live, hop, run.outputs, context, own)), ...work }
}

/** Passes the stage's outputs on. At the last hop they are the answer; at any other, the hops behind it make the answer. */
async function passOn(
  deps: DeploymentTargetDeps,
  live: LiveDeployment,
  hop: number,
  tensors: Tensor[],
  context: InferContext,
  own: HopReport,
): Promise<Inference> {
  const role = directRoleOf(live.record, hop, context)
  if (role === 'last') return deliver(deps, live, tensors, context, own)
  if (hop === live.record.hops.length - 1) return { outputs: tensors, hops: [own] }
  const started = performance.now()
  const call = (through: InferContext): Promise<Onward> =>
    runOnward(deps, live, hop + 1, tensors, through, own)
  const onward =
    role === 'entry'
      ? await receive(deps, context, own, call)
      : await call(role === 'middle' ? askingEntry(deps, live.record, context) : context)
  const nextMs = performance.now() - started - (onward.own.encodeMs ?? 0)
  return { ...onward.inference, hops: [{ ...onward.own, nextMs }, ...onward.inference.hops] }
}

/** The inputs; -1 marks a dimension of which the deployment takes several sizes. */
function inputsOf({ shapes }: Deployment, { inputs }: Structure): TargetTensor[] {
  if (!shapes) return inputs
  const size = (dimension: ShapeRanges[string][number]) => {
    const { min, max } = sizesOf(dimension)
    return min === max ? min : -1
  }
  return inputs.map(({ name, datatype, shape }) => ({
    name,
    datatype,
    shape: shapes[name]?.map(size) ?? shape,
  }))
}

/** A deployment for a range of shapes runs layers that take any: its entry knows which were asked for. */
async function checkShapes(
  { catalog }: DeploymentTargetDeps,
  { id, model, shapes }: Deployment,
  inputs: readonly Tensor[],
): Promise<void> {
  if (!shapes) return
  refuseOutside(shapes, inputs, `deployment ${id}`)
  checkDeclared(await catalog.model(model), inputs)
}

function checkEntry(resource: string, { id, entry }: Deployment): void {
  if (entry.resource === resource) return
  throw new ScissionError(
    'notFound',
    `deployment ${id} is entered at resource ${entry.resource}: ${entry.url}/v2/models/${id}/infer`,
    { entry },
  )
}
