/** The planner service, typed. */
import type { z } from 'zod'
import { pageOf } from '../contracts/common.ts'
import { Deployment, type DeploymentRequest, PlanAnswer, type PlanQuery } from '../contracts/plan.ts'
import { Link, ResourceView } from '../contracts/resource.ts'
import { createJsonClient } from './http.ts'
import { allPages } from './pages.ts'

export type PlannerClient = ReturnType<typeof createPlannerClient>

export function createPlannerClient(baseUrl: string) {
  const http = createJsonClient('planner service', baseUrl)
  const deploymentUrl = (id: string) => `/v1/deployments/${encodeURIComponent(id)}`
  return {
    baseUrl,
    resources: () =>
      allPages((cursor) => http.request(pageOf(ResourceView), { url: '/v1/resources', params: { cursor } })),
    links: () => allPages((cursor) => http.request(pageOf(Link), { url: '/v1/links', params: { cursor } })),
    plans: (query: z.input<typeof PlanQuery>) =>
      http.request(PlanAnswer, { method: 'POST', url: '/v1/plans', data: query }),
    /** Answers as soon as the deployment is on record; poll `deployment(id)` until it is ready. */
    deploy: (request: DeploymentRequest) =>
      http.request(Deployment, { method: 'POST', url: '/v1/deployments', data: request }),
    deployments: () =>
      allPages((cursor) => http.request(pageOf(Deployment), { url: '/v1/deployments', params: { cursor } })),
    deployment: (id: string) => http.request(Deployment, { url: deploymentUrl(id) }),
    undeploy: (id: string) => http.send({ method: 'DELETE', url: deploymentUrl(id) }),
  }
}
