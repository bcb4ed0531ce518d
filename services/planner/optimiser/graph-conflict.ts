/** When the graph view has no plan: which demands of the query exclude all of them, none of which can be left out. */
import { ScissionError } from '../../../shared/errors.ts'
import type { GraphQuery } from './graph-world.ts'

/** Fields of a query that exclude plans. */
const DEMANDS = [
  'mustUseTiers',
  'mustNotUseTiers',
  'mustUseResources',
  'mustNotUseResources',
  'firstLayersOnDevice',
  'tensorOnDevice',
  'mustRunLayers',
  'mustNotRunLayers',
  'maxTierMs',
  'maxTierShare',
  'maxUploadBytes',
  'maxTotalUploadBytes',
  'maxMemoryBytes',
  'maxLatencyMs',
  'minThroughput',
  'maxEnergyJ',
  'maxPrice',
  'minStages',
  'maxStages',
] as const satisfies readonly (keyof GraphQuery)[]

/**
 * @param hasPlan whether a query has a plan; undefined: not known in the time there is.
 * @returns `infeasible`; `details.conflict` are demands that no plan satisfies together, `details.minimal` says whether
 * dropping any one of them is known to let a plan appear.
 */
export function explainNoGraphPlan(
  query: GraphQuery,
  hasPlan: (query: GraphQuery) => boolean | undefined,
): ScissionError {
  let asked = query
  let minimal = true
  for (const field of DEMANDS) {
    if (asked[field] === undefined) continue
    const others = { ...asked, [field]: undefined }
    const outcome = hasPlan(others)
    if (outcome === undefined) minimal = false
    if (outcome === false) asked = others
  }
  const conflict = DEMANDS.filter((field) => asked[field] !== undefined).map(
    (field) => `${field}: ${textOf(asked[field])}`,
  )
  const which = conflict.length === 1 ? conflict[0] : `all of ${conflict.join(', ')}`
  const message = `no plan satisfies ${which}, not even with cuts through parallel branches`
  return new ScissionError('infeasible', message, { view: 'graph', conflict, minimal })
}

/** As it is written in a URL. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(',')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([name, limit]) => `${name}:${String(limit)}`)
    .join(',')
}
