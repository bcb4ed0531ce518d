/**
 * The layers of a deployment for a range of shapes. The plan was made with measurements of one shape; what is deployed are
 * the same layers of the model's open structure, which take any size of the dimensions that the file leaves open.
 */
import type { ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { completeRanges, type ShapeRanges } from '../../../shared/contracts/shape-ranges.ts'
import { openShapesKeyOf } from '../../../shared/onnx/canonical/shapes-key.ts'
import { openBoundary } from '../../../shared/onnx/structure/open-boundary.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'

/** What the record of a deployment takes from the structure that it runs. */
export interface DeployedLayers {
  shapesKey: ShapesKey
  /** Absent: the shapes of the plan. */
  shapes?: ShapeRanges
  /** The boundary of this structure for one of the plan's. */
  boundary: (k: number) => number
}

export interface OpenLayersDeps {
  models: ReadonlyMap<string, Model>
  /** @throws ScissionError notFound */
  structure: (model: string, shapesKey: string) => Promise<Structure>
}

/**
 * @throws ScissionError badRequest for shapes that contradict the model; conflict if it was not analysed with open
 *   dimensions, or a cut of the plan does not exist with them.
 */
export async function deployedLayers(
  mirror: OpenLayersDeps,
  plan: Plan,
  given: ShapeRanges | undefined,
): Promise<DeployedLayers> {
  if (!given) return { shapesKey: plan.shapesKey, boundary: (k) => k }
  const model = mirror.models.get(plan.model)
  if (!model) throw new ScissionError('notFound', `plan ${plan.id}: its model is not registered`)
  const fixed = await mirror.structure(plan.model, plan.shapesKey)
  const shapes = completeRanges(model.inputs, fixed.inputShapes, given)
  const shapesKey = openShapesKeyOf(model.inputs)
  const open = await mirror.structure(plan.model, shapesKey).catch((error: unknown) => {
    throw notAnalysed(model, error)
  })
  const cuts = plan.stages.flatMap(({ from, to }) => [from, to])
  const boundaries = new Map([...new Set([0, ...cuts])].map((k) => [k, needBoundary(plan, fixed, k, open)]))
  return { shapesKey, shapes, boundary: (k) => boundaries.get(k) ?? k }
}

function needBoundary(plan: Plan, fixed: Structure, k: number, open: Structure): number {
  const found = openBoundary(fixed, k, open)
  if (found !== undefined) return found
  const [before, after] = [fixed.layers[k - 1]?.name, fixed.layers[k]?.name]
  throw new ScissionError(
    'conflict',
    `plan ${plan.id} cuts at boundary ${k}, between layers "${before}" and "${after}": with open dimensions the model has no ` +
      'such boundary, so it cannot take other shapes there. Deploy a plan with other cuts, or without shapes',
    { boundary: k, tensors: fixed.boundaries[k]?.tensors },
  )
}

function notAnalysed({ name }: Model, error: unknown): unknown {
  if (!(error instanceof ScissionError) || error.code !== 'notFound') return error
  return new ScissionError(
    'conflict',
    `model ${name} was not analysed with open dimensions: ask the benchmark service for ` +
      `POST /v1/models/${name}/layers with {"open": true}, then deploy again`,
  )
}
