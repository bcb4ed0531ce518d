import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildZooModel, zooGraph } from '../../shared/zoo/index.ts'
import { elements } from '../../shared/zoo/graph.ts'
import { UniformStream } from '../../shared/zoo/random.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scission-zoo-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** Noise of variance one, as after the usual normalisation of images. */
function noise(key: string, count: number): Float32Array {
  const values = new Float32Array(count)
  new UniformStream(key).drawInto(values, -Math.sqrt(3), Math.sqrt(3))
  return values
}

type Level = 'disabled' | 'all'

/** The probabilities for each input. */
async function classify(name: string, path: string, inputs: readonly Float32Array[], level: Level) {
  const { input, output } = zooGraph(name)
  const session = await InferenceSession.create(path, { graphOptimizationLevel: level })
  const results: Float32Array[] = []
  for (const values of inputs) {
    const outputs = await session.run({ [input.name]: new Tensor('float32', values, input.shape) })
    results.push(Float32Array.from(outputs[output.name]?.data as Float32Array))
  }
  await session.release()
  return results
}

const largest = (values: Float32Array) => values.reduce((max, value) => Math.max(max, value), 0)
const difference = (a: Float32Array, b: Float32Array) =>
  largest(a.map((value, i) => Math.abs(value - (b[i] ?? NaN))))

describe('the outputs of a network with random weights', () => {
  it.each(['mobilenetv2', 'resnet50', 'resnet50v2', 'densenet121', 'nasnetmobile', 'inceptionv3'])(
    '%s: are probabilities, depend on the input, and survive optimisation',
    async (name) => {
      const path = join(folder, `${name}.onnx`)
      await buildZooModel(name, path)
      const count = elements(zooGraph(name).input.shape)
      const inputs = [noise('one', count), noise('other', count)]
      const [one, other] = (await classify(name, path, inputs, 'all')) as [Float32Array, Float32Array]
      const [exact] = (await classify(name, path, inputs.slice(0, 1), 'disabled')) as [Float32Array]
      await rm(path)

      expect(one).toHaveLength(1000)
      expect(one.every(Number.isFinite)).toBe(true)
      expect(one.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 4)
      // Neither uniform (0.001 everywhere) nor all on one class.
      expect(largest(one)).toBeGreaterThan(0.002)
      expect(largest(one)).toBeLessThan(0.9)
      expect(difference(one, other) / largest(one)).toBeGreaterThan(1e-3)
      expect(difference(one, exact) / largest(exact)).toBeLessThan(1e-5)
    },
  )
})
