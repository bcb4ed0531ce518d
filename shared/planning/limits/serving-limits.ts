/**
 * What the machines would refuse to serve, as constraints that hold whatever a query says: a plan against them would be
 * deployed, and then computed by stand-ins for ever. They are listed only where a plan could break them.
 */
import { MESSAGE_JSON_BYTES } from '../../contracts/resource.ts'
import { sizesOf } from '../evaluate/costs.ts'
import type { Problem } from '../problem/problem.ts'
import { type Constraint, constraintsOf, type OptimiserQuery } from './constraints.ts'

/** The constraints of a query and those of the machines. @param lossy as in `constraintsOf`. */
export function allConstraintsOf(problem: Problem, query: OptimiserQuery, lossy = false): Constraint[] {
  return [...constraintsOf(query, lossy), ...servingConstraints(problem)]
}

function servingConstraints({ resources, structure }: Problem): Constraint[] {
  const { boundaries, layers } = structure
  const atCuts = boundaries.reduce((most, { bytes }) => Math.max(most, bytes), 0)
  // In a placement that is no chain a message may carry what no boundary has together.
  const made = layers.reduce((sum, { outputs }) => sum + bytesOf(outputs), boundaries[0]?.bytes ?? 0)
  const longest = Math.max(atCuts, made) + MESSAGE_JSON_BYTES
  const whole = () => sizesOf(structure, [[0, layers.length]]).memoryBytes
  return resources.flatMap(({ name, limits }): Constraint[] => {
    if (!limits) return []
    const { messageBytes, stageBytes } = limits
    return [
      ...(messageBytes < longest ? [{ kind: 'maxMessageBytes', name, limit: messageBytes } as const] : []),
      ...(stageBytes < whole() ? [{ kind: 'maxStageBytes', name, limit: stageBytes } as const] : []),
    ]
  })
}

const bytesOf = (tensors: readonly { bytes: number }[]): number =>
  tensors.reduce((sum, { bytes }) => sum + bytes, 0)
