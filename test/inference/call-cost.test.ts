/** What a served request cost a machine beside the run of its stage, from its report, and that a service takes note of it. */
import { expect, it, vi } from 'vitest'
import { callMs } from '../../services/inference/api/call-cost.ts'
import { PaceSampler } from '../../services/inference/pace/pace-sampler.ts'
import { call } from './support/service.ts'
import { singleLayerModel, toySpec } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'

const toy = withToyService([singleLayerModel('a', 'm', toySpec('x', 'FP32', [1]), (x) => x)])

const ran = {
  hop: 0,
  resource: 'device',
  from: 0,
  to: 3,
  computeMs: 5,
  cpuMs: 5,
  queueMs: 0.25,
  waitedMs: 2,
  bytesOut: 8,
  emulated: false,
}

it('is what is left without the run, the emulated wait, coding and the hops behind', () => {
  expect(callMs(ran, { receivedMs: 0.5, restMs: 8 })).toBeCloseTo(1.5)
  const onward = { ...ran, nextMs: 20, encodeMs: 1, decodeMs: 2 }
  expect(callMs(onward, { receivedMs: 0.5, restMs: 31 })).toBeCloseTo(1.5)
})

it('leaves out a wait behind other requests, and receiving over a link', () => {
  expect(callMs({ ...ran, queueMs: 40 }, { receivedMs: 0.5, restMs: 48 })).toBeCloseTo(1.5)
  expect(callMs(ran, { receivedMs: 300, restMs: 8 })).toBeCloseTo(1)
  expect(callMs({ ...ran, hop: 1 }, { receivedMs: 0.5, restMs: 8 })).toBeCloseTo(1)
})

it('is told the pace by every answered request', async () => {
  const called = vi.spyOn(PaceSampler.prototype, 'called')
  const body = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }] }
  const answer = await call('POST', `${toy.service.url}/v2/models/m/infer`, JSON.stringify(body))
  expect(answer.status).toBe(200)
  await vi.waitFor(() => expect(called).toHaveBeenCalledTimes(1))
  const [ms, run] = called.mock.calls[0] ?? []
  expect(ms).toBeGreaterThan(0)
  // As the answer says, and in its places.
  const { parameters } = JSON.parse(answer.body.toString()) as { parameters: Record<string, number> }
  expect(run).toEqual({ cpuMs: parameters.scission_hop0_cpuMs, wallMs: parameters.scission_hop0_computeMs })
  const refused = await call('POST', `${toy.service.url}/v2/models/m/infer`, '{"inputs":[]}')
  expect(refused.status).toBe(400)
  expect(called).toHaveBeenCalledTimes(1)
})
