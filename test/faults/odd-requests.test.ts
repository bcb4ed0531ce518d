/** Requests that are odd and in order are answered over two machines: names that every object has, times without end. */
import { describe, expect, it } from 'vitest'
import { outputsOf } from '../inference/support/service.ts'
import { spec, type TinyModel } from '../inference/tiny-models.ts'
import { FALLBACKS, withTwoMachines } from './two-machines.ts'

/** y = −|x|, by tensors of these names. */
const negative = (x: string, between: string, y: string): TinyModel => ({
  inputs: [spec(x, 'FP32', [2])],
  outputs: [spec(y, 'FP32', [2])],
  nodes: [
    { op: 'Abs', inputs: [x], outputs: [between] },
    { op: 'Neg', inputs: [between], outputs: [y] },
  ],
})
const MODELS = {
  entering: negative('__proto__', 'between', 'y'),
  crossing: negative('x', '__proto__', 'y'),
  leaving: negative('x', 'between', 'constructor'),
}
const { infer } = withTwoMachines(MODELS)
const inputOf = (name: string) => ({ name, datatype: 'FP32', shape: [2], data: [1, -2] })

describe.each(FALLBACKS)('over two machines, fallback %s', (fallback) => {
  it.each(Object.entries(MODELS))(
    'a tensor that is %s may be called what every object has',
    async (name, model) => {
      const inputs = [inputOf(model.inputs[0]?.name ?? '')]
      const { status, json } = await infer(`${name}-${fallback}`, { inputs })
      expect([status, outputsOf(json)]).toMatchObject([
        200,
        [{ name: model.outputs[0]?.name, data: [-1, -2] }],
      ])
    },
  )

  it.each([2 ** 31 * 1000, 2 ** 32 * 1000, Number.MAX_SAFE_INTEGER])(
    'a timeout of %d µs is none that is over at once',
    async (timeout) => {
      const body = { inputs: [inputOf('x')], parameters: { timeout } }
      const { status, json } = await infer(`leaving-${fallback}`, body)
      expect([status, outputsOf(json)]).toMatchObject([200, [{ data: [-1, -2] }]])
    },
  )
})
