/** Values that the second machine's model does not take fail their own request alone, with real models and real runs. */
import { describe, expect, it } from 'vitest'
import { call, errorOf, parametersOf, valuesOf } from '../inference/support/service.ts'
import { spec, type TinyModel } from '../inference/tiny-models.ts'
import { FALLBACKS, withTwoMachines } from './two-machines.ts'

/** y = |x| at the positions `at`: the Gather is at the second hop. */
const picking: TinyModel = {
  inputs: [spec('x', 'FP32', [3]), spec('at', 'INT64', [1])],
  outputs: [spec('y', 'FP32', [1])],
  nodes: [
    { op: 'Abs', inputs: ['x'], outputs: ['positive'] },
    { op: 'Gather', inputs: ['positive', 'at'], outputs: ['y'] },
  ],
}
const doubled: TinyModel = {
  inputs: [spec('x', 'FP32', [3])],
  outputs: [spec('y', 'FP32', [3])],
  nodes: [
    { op: 'Abs', inputs: ['x'], outputs: ['positive'] },
    { op: 'Add', inputs: ['positive', 'positive'], outputs: ['y'] },
  ],
}

const { infer, urlOf } = withTwoMachines({ picking, doubled })
const x = { name: 'x', datatype: 'FP32', shape: [3], data: [-1, 2, -3] }
const ask = (deployment: string, ...more: object[]) => infer(deployment, { inputs: [x, ...more] })
const pick = (deployment: string, at: number) =>
  ask(deployment, { name: 'at', datatype: 'INT64', shape: [1], data: [at] })

describe.each(FALLBACKS)('an index that is out of range at the second hop, fallback %s', (fallback) => {
  it('is the 400 of its own request; other requests and deployments go on over the same machine', async () => {
    for (let round = 0; round < 3; round += 1) {
      // More in a row than a machine may fail before it is left alone.
      for (let at = 9; at < 29; at += 1) {
        const bad = await pick(`picking-${fallback}`, at)
        expect([bad.status, bad.headers['scission-error']]).toEqual([400, 'invalidValues'])
        expect(errorOf(bad.json)).toMatch(/hop edge.*(out of data bounds|indices)/s)
      }
      const [other, own] = await Promise.all([ask(`doubled-${fallback}`), pick(`picking-${fallback}`, 2)])
      for (const good of [other, own])
        expect([good.status, parametersOf(good.json)]).toEqual([
          200,
          expect.objectContaining({ scission_hop1_resource: 'edge' }),
        ])
      expect([valuesOf(other.json), valuesOf(own.json)]).toEqual([[2, 4, 6], [3]])
    }
    const { json } = await call('GET', `${urlOf('device')}/healthz`)
    expect(json).toMatchObject({ openBreakers: [] })
  })
})
