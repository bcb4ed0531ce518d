/** Imports of more than anybody has are refused before each of their parts is looked at. */
import { expect, it } from 'vitest'
import { withBenchmarkService } from '../harness.ts'

const harness = withBenchmarkService()

const send = (body: unknown) =>
  fetch(`${harness().url}/v1/profiles`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })

it('names the most that is taken, and answers shortly whatever is wrong', async () => {
  const many = Array.from({ length: 1_000_000 }, () => 1)
  for (const body of [many, { items: many }, { machines: many }, { profiles: [], links: many }]) {
    const answer = await send(body)
    const said = await answer.text()
    expect([answer.status, said]).toEqual([400, expect.stringContaining('more than 10000')])
    expect(said.length).toBeLessThan(1000)
  }
  const wrong = await send({ machines: many.slice(0, 10_000) })
  expect(wrong.status).toBe(400)
  expect((await wrong.text()).length).toBeLessThan(10_000)
})

it('takes as many layers as a network has', async () => {
  const layerMs = Array.from({ length: 20_000 }, () => 1)
  const answer = await send({ model: 'absent', resource: 'lab-pi', tier: 'device', layerMs })
  expect(await answer.text()).toMatch(/absent/)
  expect(answer.status).toBe(404)
})
