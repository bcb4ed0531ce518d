/**
 * Plan ids carry the whole plan, so that any planner replica can deploy a plan that another one printed, and no plan has
 * to be stored:
 *
 *   <model>.<shapesKey>.<source>.<resource>_<from>-<to>.<resource>_<from>-<to>_<codec>_t<threads>-<optimisation>…
 *
 * `_<codec>` is the encoding of the stage's input and is left out for `none`; `_t…` names the stage's runtime options and
 * is left out for the resource's own. Resource names hold neither "." nor "_", so the id needs no escaping, neither here
 * nor in a URL. Parsing accepts exactly what formatting writes: one plan has one id. Whether the layers and resources
 * exist is for the reader to check. An id carries no cost: it is computed anew with the present profiles and links.
 */
import { CodecName } from './calibration.ts'
import { ModelId, ResourceName, ShapesKey } from './common.ts'
import { OPTIMISATION_LEVELS, RuntimeOptions } from './resource.ts'
import { ScissionError } from '../platform/errors.ts'

export interface PlanStage {
  resource: string
  from: number
  to: number
  /** Encoding of its input; absent = not encoded. Only for a stage that receives something. */
  codec?: CodecName | undefined
  /** Absent = the resource's own. */
  options?: RuntimeOptions | undefined
}

/** A plan without its cost: `stages` cover layers 0..N-1 in order, one resource each. */
export interface PlanParts {
  model: ModelId
  shapesKey: ShapesKey
  source: string
  stages: readonly PlanStage[]
}

/** @throws ScissionError invalidRange if the stages do not form a plan: an id that cannot be parsed is never made. */
export function formatPlanId(parts: PlanParts): string {
  const fault = faultOf(parts)
  if (fault !== undefined) throw new ScissionError('invalidRange', `not a plan: ${fault}`)
  const stages = parts.stages.map(
    ({ resource, from, to, codec, options }) =>
      `${resource}_${from}-${to}${arrives(codec) ? `_${codec}` : ''}` +
      (options ? `_t${options.threads}-${options.optimisation}` : ''),
  )
  return [parts.model, parts.shapesKey, parts.source, ...stages].join('.')
}

/** The inverse of `formatPlanId`. @throws ScissionError notFound with the reason why the id names no plan. */
export function parsePlanId(id: string): PlanParts {
  const [model, shapesKey, source, ...stages] = id.split('.')
  const unknown = (why: string) => new ScissionError('notFound', `unknown plan id ${shorten(id)}: ${why}`)
  const parsedModel = ModelId.safeParse(model)
  if (!parsedModel.success) throw unknown('it does not begin with a model id of 64 hexadecimal digits')
  const parsedKey = ShapesKey.safeParse(shapesKey)
  if (!parsedKey.success) throw unknown('its second part is not a shapes key of 12 hexadecimal digits')
  if (source === undefined) throw unknown('it names no source resource')
  const parts = {
    model: parsedModel.data,
    shapesKey: parsedKey.data,
    source,
    stages: stages.map((text) => {
      const stage = parseStage(text)
      if (stage === undefined)
        throw unknown(`"${shorten(text)}" is not a stage, which reads <resource>_<from>-<to>`)
      return stage
    }),
  }
  const fault = faultOf(parts)
  if (fault !== undefined) throw unknown(fault)
  return parts
}

/** Layer numbers have no leading zeros and few enough digits to stay exact, so that a stage has one text only. */
const STAGE = new RegExp(
  '^([^_]+)_(0|[1-9]\\d{0,8})-(0|[1-9]\\d{0,8})(?:_([a-su-z][a-z0-9-]*))?' +
    `(?:_t([1-9]\\d{0,2})-(${OPTIMISATION_LEVELS.join('|')}))?$`,
)

function parseStage(text: string): PlanStage | undefined {
  const match = STAGE.exec(text)
  if (!match?.[1]) return undefined
  const [, resource, from, to, codec, threads, optimisation] = match
  if (codec === 'none') return undefined
  const options = RuntimeOptions.safeParse({ threads: Number(threads), optimisation })
  if (threads !== undefined && !options.success) return undefined
  return {
    resource,
    from: Number(from),
    to: Number(to),
    ...(codec === undefined ? {} : { codec }),
    ...(threads === undefined || !options.success ? {} : { options: options.data }),
  }
}

function faultOf({ source, stages }: PlanParts): string | undefined {
  const names = [source, ...stages.map((stage) => stage.resource)]
  const odd = names.find((name) => !ResourceName.safeParse(name).success)
  if (odd !== undefined) return `"${shorten(odd)}" is not a resource name`
  if (stages.length === 0) return 'it has no stages'
  const used = stages.map((stage) => stage.resource)
  const twice = used.find((name, index) => used.indexOf(name) !== index)
  if (twice !== undefined) return `resource ${twice} has two stages`
  const first = stages[0]
  if (first?.resource === source && arrives(first.codec))
    return `nothing is sent to ${source}, which is the source: it needs no codec`
  for (const { resource, codec, options } of stages) {
    if (codec !== undefined && !CodecName.safeParse(codec).success)
      return `stage of ${resource}: "${shorten(codec)}" is not a codec`
    if (options && !RuntimeOptions.safeParse(options).success)
      return `stage of ${resource} has runtime options that do not exist`
  }
  if (used.indexOf(source) > 0) return `the source ${source} can only run the first stage`
  let end = 0
  for (const { resource, from, to } of stages) {
    if (!isLayerNumber(from) || !isLayerNumber(to)) return `stage of ${resource} has no whole layer numbers`
    if (from !== end) return `stage of ${resource} begins at layer ${from}, not at ${end}`
    if (to <= from) return `stage of ${resource} ends at ${to} and holds no layer`
    end = to
  }
  return undefined
}

function arrives(codec: CodecName | undefined): boolean {
  return codec !== undefined && codec !== 'none'
}

function isLayerNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 1e9
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
