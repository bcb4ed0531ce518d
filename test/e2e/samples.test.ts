/** Samples of a model, from the upload to the verification of a deployment, over the whole system. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { runBenchmark } from '../../infra/steps/run-benchmark.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { describeModel } from '../../shared/onnx/index.ts'
import { npyOf } from '../support/numpy.ts'
import { startTestSystem, type TestSystem } from '../support/system.ts'
import { ownFile } from '../support/test-models.ts'

let system: TestSystem
beforeAll(async () => {
  system = await startTestSystem()
})
afterAll(() => system?.close())

const silent = { update: () => undefined, stop: () => undefined }

it('a deployment is verified with the samples of its model', async () => {
  const model = ownFile('digits-cnn.onnx')
  const [input] = (await describeModel(model)).inputs
  const shape = input?.shape.map((dim) => (typeof dim === 'number' ? dim : 1)) ?? []
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i % 17) / 16)
  const file = path.join(system.folder, `${input?.name}.npy`)
  writeFileSync(file, npyOf('FP32', shape, 1, new Uint8Array(values.buffer)).file)
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const planner = createPlannerClient(system.plannerUrl)
  const { id, samples } = await benchmark.uploadModel(model, 'digits', { samples: [file] })
  expect(samples?.inputs).toMatchObject([{ name: input?.name }])
  await runBenchmark(benchmark, { model: id, runs: 3 }, silent)
  const { plans } = await planner.plans({ model: id, top: 1, minStages: 2 })
  const deployment = await deployAndWait(planner, { plan: plans[0]?.id ?? '', name: 'split' })
  expect(deployment.verification).toMatchObject({ outcome: 'equal', input: 'sample' })
})
