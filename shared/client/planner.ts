/** Typed client of the planner service. */
import type { z } from 'zod'
import { GraphPlanAnswer } from '../contracts/graph-plan.ts'
import { type KeyRequest, KeyUse, KeyView, NewKey, QuotaView } from '../contracts/key.ts'
import type { Quotas } from '../contracts/quota.ts'
import { type DeploymentRequest, type PlanQuery, PricedPlan } from '../contracts/plan.ts'
import { DeploymentView } from '../contracts/stand-in.ts'
import { ForgottenLink, Link, type LinkSettings, LinkView, ResourceView } from '../contracts/resource.ts'
import { ExplainedAnswer, SweepAnswer, type SweepRequest } from '../contracts/plan-sweep.ts'
import { type Credentials, shownTo } from '../platform/credentials.ts'
import { createJsonClient } from './http.ts'
import { KnownRevision } from './known-revision.ts'

/** Sweeps and Pareto fronts take seconds; the planner's own limit is shorter than this. */
const LONG_ANSWER_MS = 150_000

export type PlannerClient = ReturnType<typeof createPlannerClient>

/**
 * Opens a client of the planner service.
 * @param known revision, to be shared with the client of another service: what that one acknowledged holds here.
 * @param credentials shown with every request.
 * @example
 * const planner = createPlannerClient('http://127.0.0.1:8082')
 * const { plans } = await planner.plans({ model: 'mobilenet', network: '4g' })
 * const deployment = await planner.deploy({ plan: plans[0].id })
 */
export function createPlannerClient(baseUrl: string, known = new KnownRevision(), credentials?: Credentials) {
  const http = createJsonClient('planner service', baseUrl, known, shownTo('planner', credentials))
  const deploymentUrl = (id: string) => `/v1/deployments/${encodeURIComponent(id)}`
  const linkUrl = (from: string, to: string) =>
    `/v1/links/${encodeURIComponent(from)}/${encodeURIComponent(to)}`
  const ask = <T extends z.ZodType>(answer: T, query: z.input<typeof PlanQuery>) =>
    http.request(answer, {
      method: 'POST',
      url: '/v1/plans',
      data: query,
      timeout: LONG_ANSWER_MS,
      isQuestion: true,
    })
  return {
    baseUrl,
    resources: () => http.all(ResourceView, '/v1/resources'),
    /** Forgets a resource that is lost or was imported, with its links. */
    forgetResource: (name: string) =>
      http.send({ method: 'DELETE', url: `/v1/resources/${encodeURIComponent(name)}` }),
    links: () => http.all(LinkView, '/v1/links'),
    /** Overrides a link until it is forgotten. Without a return bandwidth the way back is as fast. */
    setLink: (from: string, to: string, figures: z.input<typeof LinkSettings>) =>
      http.request(Link, { method: 'PUT', url: linkUrl(from, to), data: figures }),
    /** Deletes the override of a link. @param all true to forget what was measured or imported too. */
    forgetLink: (from: string, to: string, all = false) =>
      http.request(ForgottenLink, { method: 'DELETE', url: linkUrl(from, to), params: all ? { all } : {} }),
    /** Plans of the chain view. */
    plans: (query: Omit<z.input<typeof PlanQuery>, 'view'>) => ask(ExplainedAnswer, query),
    /** What the plan of this id would take now, without a search. */
    plan: (id: string) => http.request(PricedPlan, { url: `/v1/plans/${encodeURIComponent(id)}` }),
    /** Plans of the graph view: stages may cut through parallel branches. */
    graphPlans: (query: z.input<typeof PlanQuery>) => ask(GraphPlanAnswer, { ...query, view: 'graph' }),
    /** The best plan in every cell of a grid of conditions. */
    sweep: (request: z.input<typeof SweepRequest>) =>
      http.request(SweepAnswer, {
        method: 'POST',
        url: '/v1/plans/sweep',
        isQuestion: true,
        data: request,
        timeout: LONG_ANSWER_MS,
      }),
    /** Answers as soon as the deployment is stored; poll `deployment(id)` until it is ready. */
    deploy: (request: DeploymentRequest) =>
      http.request(DeploymentView, { method: 'POST', url: '/v1/deployments', data: request }),
    deployments: () => http.all(DeploymentView, '/v1/deployments'),
    deployment: (id: string) => http.request(DeploymentView, { url: deploymentUrl(id) }),
    /** Makes a key. Its token is in this answer alone. */
    addKey: (request: KeyRequest) => http.request(NewKey, { method: 'POST', url: '/v1/keys', data: request }),
    keys: () => http.all(KeyView, '/v1/keys'),
    /** A key with its quotas and what it has. */
    key: (id: string) => http.request(KeyUse, { url: `/v1/keys/${encodeURIComponent(id)}` }),
    /** Gives a key other quotas, all of them. */
    setQuotas: (id: string, quotas: Quotas) =>
      http.request(KeyUse, {
        method: 'PUT',
        url: `/v1/keys/${encodeURIComponent(id)}/quotas`,
        data: quotas,
      }),
    ownQuotas: () => http.request(QuotaView, { url: '/v1/quotas' }),
    revokeKey: (id: string) =>
      http.request(KeyView, { method: 'DELETE', url: `/v1/keys/${encodeURIComponent(id)}` }),
    undeploy: (id: string) => http.send({ method: 'DELETE', url: deploymentUrl(id) }),
  }
}
