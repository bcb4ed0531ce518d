/**
 * A deployment as a target under /v2/models. Its entry takes the model's inputs and returns the model's outputs; every hop
 * decodes, runs its stage, and calls the next hop. A client that ran the first layers itself enters at a cut (cuts.ts), on
 * the resource whose stage begins there.
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
import { boundaryTensors } from '../serving/models/model-description.ts'
import { parseTargetName } from '../serving/models/target-name.ts'
import { checkDeclared } from '../serving/models/request-structures.ts'
import { givenUp } from '../serving/executor/executor-errors.ts'
import {
  type HopReport,
  type InferContext,
  type Inference,
  type LayerRange,
  reportRun,
  type Target,
  type Targets,
  type TargetTensor,
} from '../serving/models/target.ts'
import { checkCut, hopHere, placesOf } from './cuts.ts'
import { decodingTarget } from './decoding-target.ts'
import type { Deployments, LiveDeployment } from './deployment-hops.ts'
import {
  askingEntry,
  deliver,
  type Delivered,
  directRoleOf,
  isDelivered,
  receive,
  type ReturnSlots,
  withoutOwn,
} from './direct-answer.ts'
import type { Onward } from './forward.ts'
import type { StandIns } from './stand-ins.ts'
import { longestMessage } from './message-limit.ts'
import { type NextHopDeps, runOnward } from './next-hop.ts'
import type { Predictions } from './predictions.ts'
import { withoutUnread } from '../serving/models/unread-inputs.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

/** A deployment has one version in the protocol, because plans are not numbered. */
const VERSION = '1'

export interface DeploymentTargetDeps extends NextHopDeps {
  catalog: Catalog
  deployments: Deployments
  returns: ReturnSlots
  delivered: Delivered
  standIns: StandIns
  /** Bytes of the longest message of a deployment that this resource takes. */
  longestPossible: number
  predictions: Predictions
}

/** Finds a deployment, whole (`name`) or from a cut on (`name:from-to`), else what `models` finds. */
export function targetsOf(deps: DeploymentTargetDeps, models: Targets): Targets {
  return {
    async find(name, version, layers) {
      const { base, range } = parseTargetName(name, layers)
      const record = await deps.deployments.record(base)
      if (!record) return decodingTarget(await models.find(name, version, layers), deps.codec)
      checkVersion(base, version)
      return range ? fromCut(deps, record, range) : wholeDeployment(deps, record)
    },
  }
}

/** @throws ScissionError notFound for another version. */
function checkVersion(name: string, version: string | undefined): void {
  if (version === undefined || version === VERSION) return
  throw new ScissionError('notFound', `deployment "${name}" has one version, "${VERSION}", not "${version}"`)
}

async function wholeDeployment(deps: DeploymentTargetDeps, record: Deployment): Promise<Target> {
  const structure = await deps.catalog.structure(record.model, record.shapesKey)
  return {
    ...aboutDeployment(deps, record, structure),
    name: record.id,
    tensors: () => ({ inputs: inputsOf(record, structure), outputs: structure.outputs }),
    properties: async () => ({ ...propertiesOf(record, record.hops), entry: record.entry.url }),
    infer: (inputs, context) => runHop(deps, record, structure, inputs, context),
  }
}

/**
 * The layers from a cut to the end, through the stages that the plan has for them.
 * @throws ScissionError invalidRange if the plan has no cut there, or the range does not reach the end.
 */
async function fromCut(deps: DeploymentTargetDeps, record: Deployment, range: LayerRange): Promise<Target> {
  const cut = await checkCut(deps.peers, record, range)
  const structure = await deps.catalog.structure(record.model, record.shapesKey)
  const { inputs } = boundaryTensors(structure, range)
  return {
    ...aboutDeployment(deps, record, structure),
    name: `${record.id}:${range.from}-${range.to}`,
    tensors: () => ({ inputs, outputs: structure.outputs }),
    properties: async () => ({
      ...propertiesOf(record, record.hops.slice(cut)),
      layers: `${range.from}-${range.to}`,
      entry: (await placesOf(deps.peers, record, range)).map(({ url }) => url).join(' '),
      codec: record.hops[cut]?.codec ?? 'none',
    }),
    infer: (inputs, context) => enterAt(deps, record, structure, range, inputs, context),
  }
}

const aboutDeployment = (deps: DeploymentTargetDeps, record: Deployment, structure: Structure) => ({
  messageBytes: longestMessage(record, structure, deps.longestPossible),
  version: VERSION,
  versions: () => Promise.resolve([VERSION]),
  checkReady: () => checkReady(deps, record),
  ...(record.verifies !== undefined && { uncounted: true }),
})

const propertiesOf = (record: Deployment, hops: Deployment['hops']) => ({
  deployment: record.id,
  plan: record.planId,
  model: record.model,
  path: hops.map((hop) => `${hop.resource}:${hop.from}-${hop.to}`).join(' '),
  ...(record.shapes && { shapes: formatShapeRanges(record.shapes) }),
})

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
  if (hop === 0) checkEntry(deps.here.resource, known)
  const planId = context.parameters[`${OWN_PREFIX}plan`]
  const live = await loaded(deps, known.id, hop > 0 ? String(planId ?? known.planId) : undefined, context)
  if (hop > 0) {
    if (isDelivered(deps, live.record, context)) return { outputs: [], hops: [], delivered: true }
    return runStage(deps, live, structure, hop, inputs, context)
  }
  const startedAt = performance.now()
  const inference = await runStage(deps, live, structure, hop, inputs, context)
  if (inference.hops.every(({ insteadOf }) => insteadOf === undefined))
    deps.predictions.answered(live.record, performance.now() - startedAt)
  return inference
}

/** Runs the stage that begins at a cut, for a client that ran the layers before it, and everything behind it. */
async function enterAt(
  deps: DeploymentTargetDeps,
  known: Deployment,
  structure: Structure,
  range: LayerRange,
  inputs: Tensor[],
  context: InferContext,
): Promise<Inference> {
  // Asked for elsewhere, it must not load anything here.
  await hopHere(deps, known, range)
  const live = await loaded(deps, known.id, undefined, context)
  // What is loaded may be a newer plan than the one on record was.
  const hop = await hopHere(deps, live.record, range)
  return runStage(deps, live, structure, hop, inputs, {
    ...context,
    parameters: withoutOwn(context.parameters),
  })
}

/** Loading may take longer than this request may wait; it continues for the next one. */
const loaded = (
  deps: DeploymentTargetDeps,
  id: string,
  planId: string | undefined,
  context: InferContext,
): Promise<LiveDeployment> =>
  waitWithin(deps.deployments.live(id, planId), context, (why) => givenUp(`loading deployment ${id}`, why))

async function runStage(
  deps: DeploymentTargetDeps,
  live: LiveDeployment,
  structure: Structure,
  hop: number,
  inputs: Tensor[],
  context: InferContext,
): Promise<Inference> {
  const stage = live.stages.get(hop)
  if (!stage) {
    throw new ScissionError(
      'misdirected',
      `this is ${deps.here.resource}: hop ${hop} of deployment ${live.record.id} is not here`,
    )
  }
  const { client, signal, deadline } = context
  // Clients also send the inputs that no layer reads.
  const isFirst = stage.key.from === 0
  const takes = isFirst ? structure.inputs : stage.takes
  const messageBytes = longestMessage(live.record, structure, deps.longestPossible)
  const decoding = { takes, plannedBytes: messageBytes, signal }
  const { run, decodeMs } = await deps.codec.decode(inputs, decoding, async (arrived) => {
    if (isFirst) await checkShapes(deps, live.record, arrived.tensors)
    const tensors = isFirst ? withoutUnread(structure, takes, arrived.tensors) : arrived.tensors
    return { run: await stage.run(tensors, { client, signal, deadline }), decodeMs: arrived.decodeMs }
  })
  const planned = live.record.hops[hop]?.resource
  const own: HopReport = {
    ...reportRun(deps.here, hop, stage.key, run),
    ...(planned !== undefined && planned !== deps.here.resource && { insteadOf: planned }),
    ...(decodeMs !== undefined && { decodeMs }),
  }
  const work = run.batch && { work: { items: 1, runs: [run.batch] } }
  return { ...(await passOn(deps, live, hop, run.outputs, { ...context, messageBytes }, own)), ...work }
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
  deps.standIns.answered(live.record, hop + 1, onward.inference)
  const nextMs = performance.now() - started - (onward.own.encodeMs ?? 0)
  const { standInReason: _reason, ...answer } = onward.inference
  return { ...answer, hops: [{ ...onward.own, nextMs }, ...onward.inference.hops] }
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
    shape: entryOf(shapes, name)?.map(size) ?? shape,
  }))
}

/** A deployment for a range of shapes runs layers that take any: its record says which were asked for. */
async function checkShapes(
  { catalog }: DeploymentTargetDeps,
  { id, model, shapes }: Deployment,
  inputs: readonly Tensor[],
): Promise<void> {
  if (!shapes) return
  refuseOutside(shapes, inputs, `deployment ${id}`)
  checkDeclared(await catalog.model(model), inputs)
}

/** @throws ScissionError notFound if its requests enter elsewhere. */
function checkEntry(resource: string, { id, entry }: Deployment): void {
  if (entry.resource === resource) return
  throw new ScissionError(
    'notFound',
    `this is ${resource}; deployment ${id} is entered at resource ${entry.resource}: ${entry.url}/v2/models/${id}/infer`,
    { entry },
  )
}
