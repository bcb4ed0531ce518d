/** What the machine of a resource learns from those that call it, once somebody else has taken it over. */
import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ownCredentials } from '../../infra/cli/own-credentials.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { parseToken } from '../../shared/platform/access/token.ts'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import { exampleDeployment, exampleResource, hop } from '../support/fixtures.ts'
import { JSON_TYPE } from '../support/json-type.ts'
import { type SecuredServices, startSecuredServices } from './services.ts'

let services: SecuredServices
let machine: Listening
const heard: IncomingHttpHeaders[] = []

beforeAll(async () => {
  services = await startSecuredServices()
  const listener: RequestListener = (req, res) => {
    heard.push(req.headers)
    req.resume()
    res.setHeader('Content-Type', 'application/json')
    res.end('{}')
  }
  machine = await listen(listener, 0, '127.0.0.1')
  await services.state.resources.put(
    'gateway',
    exampleResource('cloud', { name: 'gateway', tierIndex: 9, url: machine.url }),
  )
})
afterAll(async () => {
  await machine.close()
  await services.close()
})

/** What it was shown during a call of the system. */
async function shownBy(call: () => Promise<unknown>): Promise<string[]> {
  heard.length = 0
  await call()
  const shown = heard.flatMap(({ authorization }) => authorization ?? [])
  expect(shown.length).toBeGreaterThan(0)
  return [...new Set(shown)]
}

const as = (kind: 'operator' | 'resource', name: string) => ({
  Authorization: `Bearer ${services.tokenOf(kind, name)}`,
})
const planner = (path: string) => `${services.urlOf('planner', 'everything')}${path}`
const edge = (path: string) => `${services.urlOf('inference', 'everything')}${path}`

const CALLERS = {
  planner: async () => {
    await services.state.deployments.put('mine', exampleDeployment('mine', [hop('gateway', 0, 4)]))
    await fetch(planner('/v1/deployments/mine'), { method: 'DELETE', headers: as('operator', 'system') })
  },
  'another resource': () =>
    fetch(edge('/v1/links/measure'), {
      method: 'POST',
      headers: { ...as('operator', 'system'), ...JSON_TYPE },
      body: '{"to":["gateway"]}',
    }),
  'command line': () =>
    createInferenceClient(
      'gateway',
      machine.url,
      undefined,
      ownCredentials({ SCISSION_SYSTEM_KEY: services.keyText }),
    )
      .infer('net', [])
      .catch(() => undefined),
}

it.each(Object.entries(CALLERS))(
  'shown by the %s, nothing that holds elsewhere or signs',
  async (_who, call) => {
    for (const authorization of await shownBy(call)) {
      expect(parseToken(authorization.replace('Bearer ', ''))).toBeUndefined()
      for (const url of [planner('/v1/networks'), edge('/v2'), edge('/v1/answers/one')])
        expect((await fetch(url, { headers: { Authorization: authorization } })).status).toBe(421)
    }
  },
)
