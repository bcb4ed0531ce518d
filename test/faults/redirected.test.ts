/** A machine on record whose address answers with another one: the planner takes nothing there. */
import { expect, it } from 'vitest'
import { type PlanShape, plansOf, usePlanner } from '../planner/harness.ts'
import { eventually } from '../support/eventually.ts'
import { exampleResource } from '../support/fixtures.ts'
import { stubServer } from '../support/stub-server.ts'

const { used, ask } = usePlanner()

it.each([301, 302, 307, 308])('a redirection with %i is a failure of that machine', async (status) => {
  const heard: string[] = []
  const other = await stubServer((req, res) => {
    heard.push(`${req.method} ${req.url}`)
    res.writeHead(200, { 'Content-Type': 'application/json' }).end('{"ready":true}')
  })
  let calls = 0
  const sending = await stubServer((req, res) => {
    calls += 1
    res.writeHead(status, { Location: `${other.url}${req.url}` }).end()
  })
  for (const name of ['device', 'edge', 'cloud'])
    await used.state.resources.put(name, exampleResource(name, { url: sending.url }))
  const plan = await eventually(async () => {
    const [first] = plansOf(await ask('/v1/plans?model=chain'))
    expect(first).toBeDefined()
    return first as PlanShape
  })
  expect((await ask('/v1/deployments', { name: `sent-on-${status}`, plan: plan.id })).status).toBe(202)
  const record = await eventually(async () => {
    const { body } = await ask(`/v1/deployments/sent-on-${status}`)
    expect(body['state']).toBe('failed')
    return body
  })
  expect(record['error']).toContain(String(status))
  expect(calls).toBeGreaterThan(0)
  expect(heard).toEqual([])
  await sending.close()
  await other.close()
})
