/** From a query to the problem that it poses: the model, its shapes, and what the query needs to be there. */
import type { InputShapes, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model } from '../../../shared/contracts/model.ts'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { resolveInputShapes } from '../../../shared/onnx/canonical/declared-tensors.ts'
import { shapesKeyOf } from '../../../shared/onnx/canonical/shapes-key.ts'
import type { Gathered, Gatherer, Question } from './gather.ts'
import type { View } from '../knowledge/knowledge.ts'
import { whatIfOf } from './what-if.ts'

export interface Knowledge {
  view: View
  gatherer: Gatherer
}

/** What a query is about, and the problem it poses. @throws ScissionError notFound, needsInputShapes, conflict, badRequest. */
export async function gatherFor(
  parts: Knowledge,
  query: PlanQuery,
): Promise<{ question: Question; gathered: Gathered }> {
  await parts.view.ready()
  const model = parts.view.model(query.model)
  const shapesKey = query.inputShapes
    ? await analysedFor(parts.view, model, resolveInputShapes(model.inputs, query.inputShapes))
    : needShapesKey(model)
  const question: Question = {
    model: model.id,
    shapesKey,
    whatIf: whatIfOf(query),
    options: query.options ?? 'own',
    profiles: query.profiles,
  }
  refuseContradictions(query)
  refuseLost(parts, neededBy(parts, query))
  const gathered = await parts.gatherer.gather(question)
  if (gathered.problem.resources.length === 0 && gathered.leftOut.length > 0) throw nobodyLeft(gathered)
  return { question, gathered }
}

function nobodyLeft({ leftOut }: Gathered): ScissionError {
  const reasons = leftOut.map(({ resource, reason }) => `${resource}: ${reason}`).join('; ')
  return new ScissionError('notMeasured', `no resource can be planned with: ${reasons}`, { leftOut })
}

/** @throws ScissionError notMeasured when the model's layers are not known for these shapes. */
async function analysedFor(view: View, model: Model, inputShapes: InputShapes): Promise<ShapesKey> {
  const shapesKey = shapesKeyOf(inputShapes)
  try {
    await view.structure(model.id, shapesKey)
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code !== 'notFound') throw error
    const text = Object.entries(inputShapes).map(([name, dims]) => `${name}:${dims.join('x')}`)
    throw new ScissionError(
      'notMeasured',
      `model ${model.name} has not been measured with input shapes ${text.join(',')}: ` +
        'benchmark it with these first (inputShapes of POST /v1/benchmarks)',
      { field: 'inputShapes', inputShapes },
    )
  }
  return shapesKey
}

function needShapesKey(model: Model): ShapesKey {
  if (model.shapesKey) return model.shapesKey
  const open = model.inputs.filter((input) => input.shape.some((dim) => typeof dim === 'string'))
  const names = open.map((input) => input.name).join(', ')
  throw new ScissionError(
    'needsInputShapes',
    `model ${model.name} has open dimensions in ${names}: give inputShapes (shapes=name:1x3x224x224 in a URL)`,
    { inputs: open },
  )
}

/** What must be used cannot be said to be absent. */
function refuseContradictions(query: PlanQuery): void {
  const needed = [
    ...(query.source ? [['source', query.source] as const] : []),
    ...(query.mustUseResources ?? []).map((name) => ['mustUseResources', name] as const),
  ]
  for (const [field, name] of needed) {
    const absent = query.without?.includes(name) ? 'without' : undefined
    const notOnly = query.only && !query.only.includes(name) ? 'only' : undefined
    const what = absent ?? notOnly
    if (what === undefined) continue
    const message = `${field}: ${name} cannot be asked for, because ${what} says that it is not there`
    throw new ScissionError('badRequest', message, { field, contradicts: what })
  }
}

/** Resources that a query cannot do without. */
function neededBy({ view, gatherer }: Knowledge, query: PlanQuery): string[] {
  const needed = [
    ...(query.source ? [query.source] : []),
    ...(query.mustUseResources ?? []),
    ...(query.mustUseTiers ?? []).flatMap((tier) => {
      const all = [...view.resources.values()].filter((resource) => resource.tier === tier)
      const usable = all.some((one) => query.present?.includes(one.name) || !gatherer.isLost(one))
      return usable ? [] : all.map((resource) => resource.name)
    }),
  ]
  return needed.filter((name) => !query.present?.includes(name))
}

/** @throws ScissionError conflict for a resource that is registered but has stopped sending heartbeats. */
export function refuseLost({ view, gatherer }: Knowledge, names: readonly string[]): void {
  for (const name of names) {
    const resource = view.resources.get(name)
    if (!resource || !gatherer.isLost(resource)) continue
    const message = `resource ${name} is down: no heartbeat since ${resource.heartbeatAt}; start it again or leave it out`
    throw new ScissionError('conflict', message, { resource: name })
  }
}
