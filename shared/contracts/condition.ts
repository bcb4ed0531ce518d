/** What is wrong in the system for a while, and who noticed. It begins once and ends once, whoever else sees it too. */
import { z } from 'zod'
import { Name, ResourceName, timestamp } from './common.ts'

/**
 * `lost-machine`: a resource missed three heartbeats. `open-breaker`: a resource leaves a peer alone, which it cannot reach.
 * `stand-in`: requests of a deployment are answered by other machines than its plan's. `prediction-left`: a deployment's
 * answers take another time than its plan says. `wrong-machine`: another machine answers at the address of a resource.
 */
export const CONDITION_KINDS = [
  'lost-machine',
  'open-breaker',
  'stand-in',
  'prediction-left',
  'wrong-machine',
] as const
export type ConditionKind = (typeof CONDITION_KINDS)[number]

const MAX_MESSAGE_CHARACTERS = 2000

export const Condition = z.object({
  /** Its kind and what it is about: the same for all who notice it. */
  id: z.string().min(1).max(500),
  kind: z.enum(CONDITION_KINDS),
  /** What was noticed first. */
  message: z.string().transform((text) => text.slice(0, MAX_MESSAGE_CHARACTERS)),
  /** The resource that it is about: lost, left alone, or replaced. */
  resource: ResourceName.optional(),
  /** The deployment that it is about. */
  deployment: Name.optional(),
  /** The resource that noticed it, or `planner`. */
  by: ResourceName,
  since: timestamp,
})
export type Condition = z.infer<typeof Condition>

/** A condition as events tell of it. */
export const ConditionEvent = Condition.extend({ state: z.enum(['began', 'ended']) })
export type ConditionEvent = z.infer<typeof ConditionEvent>

/** @param about tells it from others of its kind. */
export const conditionId = (kind: ConditionKind, about: readonly (string | number)[]): string =>
  [kind, ...about].join('/')
