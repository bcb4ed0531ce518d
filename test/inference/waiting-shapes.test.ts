/** Requests that wait until their shapes are analysed: one client does not take all places. */
import { expect, it } from 'vitest'
import { RequestStructures } from '../../services/inference/serving/models/request-structures.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import type { ScissionError } from '../../shared/platform/errors.ts'
import { until } from '../support/eventually.ts'
import { exampleModel, exampleStructure } from '../support/fixtures.ts'

const open = exampleModel({
  inputs: [{ name: 'x', datatype: 'FP32', shape: ['n', 250] }],
  inputShapes: null,
  shapesKey: null,
})
const x: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 250], bytes: new Uint8Array(1000) }

it('refuses a client when 48 of its requests wait, and still takes those of others', async () => {
  const analysed: (() => void)[] = []
  const catalog = { structure: async () => exampleStructure(), findStructure: async () => undefined }
  const analyseOpen = () =>
    new Promise<Structure>((resolve) => analysed.push(() => resolve(exampleStructure())))
  const structures = new RequestStructures({ catalog, analyseOpen })
  const ask = (client: string) =>
    structures.forModel(open, [x], { client }).then(
      () => 'analysed',
      (error: ScissionError) => `${error.code}: ${error.message}`,
    )
  const asked = Array.from({ length: 49 }, () => ask('many'))
  expect(await asked[48]).toMatch(
    /^tooManyRequests: 48 requests that wait for an analysis .* of this client are under way/,
  )
  const others = Array.from({ length: 17 }, (_, at) => ask(`other ${at}`))
  expect(await others[16]).toMatch(/^overloaded: 64 requests/)
  const all = Promise.all([...asked.slice(0, 48), ...others.slice(0, 16)])
  // One analysis of a model at a time.
  for (let count = 0; count < 64; count += 1) {
    await until(async () => analysed.length > 0)
    analysed.shift()?.()
  }
  expect(new Set(await all)).toEqual(new Set(['analysed']))
})
