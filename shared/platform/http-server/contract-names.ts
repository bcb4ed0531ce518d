/**
 * Names of the components: an exported contract has the name of its export, so a new contract needs nothing here but its
 * module in the list. A schema of one service only gets its name where it is made: `.meta({ id: 'Wanted' })`.
 */
import { z } from 'zod'
import * as calibration from '../../contracts/calibration.ts'
import * as common from '../../contracts/common.ts'
import { EXAMPLES } from '../../contracts/examples.ts'
import * as graphPlan from '../../contracts/graph-plan.ts'
import * as jobProgress from '../../contracts/job-progress.ts'
import * as model from '../../contracts/model.ts'
import * as plan from '../../contracts/plan.ts'
import * as planSweep from '../../contracts/plan-sweep.ts'
import * as profile from '../../contracts/profile.ts'
import * as rangeManifest from '../../contracts/range-manifest.ts'
import * as resource from '../../contracts/resource.ts'
import * as verification from '../../contracts/verification.ts'
import * as standIn from '../../contracts/stand-in.ts'
import * as whatIf from '../../contracts/what-if-fields.ts'

const MODULES = [
  common,
  calibration,
  graphPlan,
  jobProgress,
  model,
  plan,
  planSweep,
  profile,
  rangeManifest,
  resource,
  standIn,
  verification,
  whatIf,
]

/** The exported contracts by name. */
export const CONTRACTS: ReadonlyMap<string, z.ZodType> = contracts()

function contracts(): Map<string, z.ZodType> {
  const found = new Map<string, z.ZodType>()
  for (const [name, value] of MODULES.flatMap((module) => Object.entries(module))) {
    if (!(value instanceof z.ZodType) || !/^[A-Z]/.test(name)) continue
    // A second name of the same schema (TierName is a ResourceName), or a second export of the same name.
    if ([...found.values()].includes(value)) continue
    if (found.has(name)) throw new Error(`two contracts are exported as ${name}`)
    found.set(name, value)
  }
  return found
}

/** Registers the names, and the examples, with zod, once per process. */
export function nameContracts(): void {
  const examples = new Map<string, unknown>(Object.entries(EXAMPLES))
  for (const [id, schema] of CONTRACTS) {
    if (z.globalRegistry.get(schema)?.id === id) continue
    const example = examples.get(id)
    z.globalRegistry.add(schema, {
      ...z.globalRegistry.get(schema),
      id,
      ...(example !== undefined && { examples: [example] }),
    })
  }
}
