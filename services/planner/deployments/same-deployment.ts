/** A deployment that is asked for again under its name: only as it is. @throws ScissionError conflict if anything differs. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { formatShapeRanges } from '../../../shared/contracts/shape-ranges.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { DeployedLayers } from './open-layers.ts'

/** The resources hold a plan under its id: they would go on with the shapes that they know. */
export function refuseOtherShapes(existing: Deployment, { shapes }: DeployedLayers): void {
  if (JSON.stringify(existing.shapes) === JSON.stringify(shapes)) return
  const taken = existing.shapes ? formatShapeRanges(existing.shapes) : 'the shapes of its plan'
  throw new ScissionError(
    'conflict',
    `deployment "${existing.id}" already runs this plan for ${taken}; delete it or choose another name`,
  )
}

/** The resources would go on with what they were told when they loaded the plan. */
export function refuseOtherSettings(existing: Deployment, made: Deployment): void {
  const settings = ({ fallback = 'native', answer = 'chain', hops }: Deployment) => ({
    fallback,
    answer,
    alternates: hops.map(({ alternates = [] }) => alternates),
  })
  const [before, now] = [settings(existing), settings(made)]
  const differs = (['fallback', 'answer', 'alternates'] as const).find(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]),
  )
  if (differs === undefined) return
  throw new ScissionError(
    'conflict',
    `deployment "${existing.id}" already runs this plan with another ${differs}: delete it or choose another name`,
    { field: differs },
  )
}
