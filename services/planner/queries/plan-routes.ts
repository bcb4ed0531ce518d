/** HTTP routes of plan queries (as a URL or as JSON) and of maps of the best plan over conditions. */
import { z } from 'zod'
import { GraphPlanAnswer } from '../../../shared/contracts/graph-plan.ts'
import { PlanQuery, PricedPlan } from '../../../shared/contracts/plan.ts'
import { ExplainedAnswer, SweepAnswer, SweepRequest } from '../../../shared/contracts/plan-sweep.ts'
import { askerOf } from '../../../shared/platform/http-server/client-of.ts'
import { route, type Route } from '../../../shared/platform/http-server/route.ts'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'
import { pricePlan } from '../deployments/plan-by-id.ts'
import { emulationNotes, partUsedBy } from './problem-notes.ts'
import { answerPlans, answerSweep, type PlannerDeps } from './answer-plans.ts'

/** A query in a URL: input shapes are written `name:1x3x224x224`. */
const PlanUrlQuery = PlanQuery.omit({ inputShapes: true }).extend({
  shapes: z
    .string()
    .optional()
    .meta({ description: 'input shapes, several joined by commas', examples: ['input_1:1x3x224x224'] }),
})

const answers = {
  200: {
    description: 'Plans, best first; with view=graph those of the graph view',
    schema: z.union([ExplainedAnswer, GraphPlanAnswer]),
  },
}

const fails = [
  'notFound',
  'invalidRange',
  'conflict',
  'notMeasured',
  'needsInputShapes',
  'infeasible',
  'notReady',
  'tooManyRequests',
  'overloaded',
  'deadlineExceeded',
] as const

export function planRoutes(deps: PlannerDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/plans',
      id: 'findPlans',
      access: 'read',
      summary: 'The best plans for a model, with the native baselines beside them',
      query: PlanUrlQuery,
      answers,
      fails,
      fromCopy: true,
      handle: ({ query: { shapes, ...rest } }, req, res) => {
        const inputShapes = shapes === undefined ? {} : { inputShapes: parseInputShapes(shapes) }
        return answerPlans(deps, { ...rest, ...inputShapes }, askerOf(req, res))
      },
    }),
    route({
      method: 'post',
      path: '/v1/plans',
      id: 'queryPlans',
      access: 'read',
      summary: 'The same with the query as JSON',
      body: PlanQuery,
      answers,
      fails,
      fromCopy: true,
      handle: ({ body }, req, res) => answerPlans(deps, body, askerOf(req, res)),
    }),
    route({
      method: 'get',
      path: '/v1/plans/:id',
      id: 'pricePlan',
      access: 'read',
      summary: 'What one plan would take now, without a search: at today’s profiles, paces and links',
      params: z.object({ id: z.string().min(1) }),
      answers: { 200: { description: 'The plan with its figures', schema: PricedPlan } },
      fails: ['notFound', 'conflict', 'notMeasured'],
      fromCopy: true,
      handle: async ({ params }): Promise<PricedPlan> => {
        const { plan, built } = await pricePlan(deps, params.id)
        return {
          ...plan,
          paces: built.paces,
          notes: [...emulationNotes(partUsedBy(plan, built.problem)), ...built.notes],
        }
      },
    }),
    route({
      method: 'post',
      path: '/v1/plans/sweep',
      id: 'sweepPlans',
      access: 'read',
      summary: 'The best plan in every cell of a grid of conditions, and where one plan gives way to another',
      body: SweepRequest,
      answers: { 200: { description: 'A map, its last axis changing fastest', schema: SweepAnswer } },
      fails,
      fromCopy: true,
      handle: ({ body }, req, res) => answerSweep(deps, body, askerOf(req, res)),
    }),
  ]
}
