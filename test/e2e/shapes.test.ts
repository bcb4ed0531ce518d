/** A client whose sentences vary in length, from the upload to a deployment for a range of shapes, over the whole system. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { compareOutputs } from '../../infra/demo/compare.ts'
import { referenceRun } from '../../infra/demo/reference.ts'
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { runBenchmark } from '../../infra/steps/run-benchmark.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { encode } from '../onnx/support/build.ts'
import { encoder, pairs } from '../onnx/support/open-models.ts'
import { startTestSystem, type TestSystem } from '../support/system.ts'

let system: TestSystem
beforeAll(async () => {
  system = await startTestSystem()
})
afterAll(() => system?.close())

const silent = { update: () => undefined, stop: () => undefined }

it('a plan made for one length is deployed for a range of them, and every length gives the whole model’s outputs', async () => {
  const file = path.join(system.folder, 'encoder.onnx')
  writeFileSync(file, encode(encoder('ids')))
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const planner = createPlannerClient(system.plannerUrl)
  const { id } = await benchmark.uploadModel(file, 'encoder')
  const inputShapes = { ids: [1, 16], mask: [1, 16] }
  await runBenchmark(benchmark, { model: id, inputShapes, runs: 3 }, silent)
  const { plans } = await planner.plans({ model: id, inputShapes, top: 1, minStages: 3 })
  const plan = plans[0]?.id ?? ''
  const deployment = await deployAndWait(planner, { plan, name: 'wide', shapes: { ids: ['1..2', '1..60'] } })
  expect(deployment.shapes).toEqual({ ids: ['1..2', '1..60'], mask: ['1..2', '1..60'] })
  expect(deployment.verification?.outcome).toBe('equal')
  expect(deployment.verification?.comparisons.map((one) => one.inputShapes?.['ids'])).toEqual([
    [1, 16],
    [1, 1],
    [2, 60],
  ])
  const { entry } = deployment
  const entered = createInferenceClient(entry.resource, entry.url)
  const { inputs, inputHints } = await benchmark.openStructure(id)
  for (const shape of [
    [1, 16],
    [1, 1],
    [2, 60],
    [1, 33],
  ]) {
    const given = makeInputs(
      inputs.map((spec) => ({ ...spec, shape })),
      3,
      inputHints,
    )
    const reference = await referenceRun(file, given)
    for (const name of ['wide', 'encoder']) {
      const answer = await entered.infer(name, given)
      const { maxAbsDiff, maxAbsOutput } = compareOutputs(reference.outputs, answer.outputs)
      expect(maxAbsOutput).toBeGreaterThan(0)
      expect([name, shape, maxAbsDiff <= 1e-5 * maxAbsOutput]).toEqual([name, shape, true])
    }
  }
  const long = makeInputs(
    inputs.map((spec) => ({ ...spec, shape: [1, 61] })),
    3,
  )
  await expect(entered.infer('wide', long)).rejects.toThrow('takes [1..2,1..60]')
})

it('a range whose largest shape no machine has memory for is refused with that shape', async () => {
  const file = path.join(system.folder, 'pairs.onnx')
  writeFileSync(file, encode(pairs()))
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const planner = createPlannerClient(system.plannerUrl)
  const { id } = await benchmark.uploadModel(file, 'pairs')
  const inputShapes = { ids: [1, 16] }
  await runBenchmark(benchmark, { model: id, inputShapes, runs: 3 }, silent)
  const { plans } = await planner.plans({ model: id, inputShapes, top: 1, minStages: 2 })
  await benchmark.openStructure(id, inputShapes)
  const plan = plans[0]?.id ?? ''
  const deploying = deployAndWait(planner, { plan, name: 'far', shapes: { ids: ['1', '2..300000'] } })
  await expect(deploying).rejects.toThrow(/the largest inputs ids:1x300000.*memory/)
  expect((await planner.deployment('far')).state).toBe('failed')
})
