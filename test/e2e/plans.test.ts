/** Every plan that the planner lists is deployed and must give the outputs of the unsplit file. */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runBenchmark } from '../../infra/steps/run-benchmark.ts'
import { compareOutputs } from '../../infra/demo/compare.ts'
import { referenceRun } from '../../infra/demo/reference.ts'
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { uploadFiles } from '../../infra/steps/upload-model.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { startTestSystem, type TestSystem } from '../support/system.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../support/test-models.ts'

const TOP = 5

let system: TestSystem
beforeAll(async () => {
  system = await startTestSystem()
})
afterAll(() => system?.close())

const silent = { update: () => undefined, stop: () => undefined }

describe('the outputs of every plan listed equal those of the unsplit file', () => {
  it('mobilenetv2, as the zoo builds it', async () => {
    const file = path.join(system.folder, 'mobilenetv2.onnx')
    await buildZooModel('mobilenetv2', file)
    await expectEqual('mobilenetv2', file)
  })
  it('a detector with two outputs', () => expectEqual('detector', ownFile('detector.onnx')))
  const trained = ['mnist-8_cnn.onnx', 'ultraface_rfb320.onnx']
  it.each(trained)('%s', needsFiles(...trained), (name) =>
    expectEqual(path.basename(name, '.onnx'), thirdPartyFile(name)),
  )

  async function expectEqual(name: string, file: string): Promise<void> {
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    const planner = createPlannerClient(system.plannerUrl)
    const { id } = await uploadFiles(benchmark, file, { name })
    await runBenchmark(benchmark, { model: id, runs: 3 }, silent)
    const inputs = makeInputs((await benchmark.structure(id)).inputs, 7)
    const reference = await referenceRun(file, inputs)
    const free = await planner.plans({ model: id, top: TOP })
    const split = await planner.plans({ model: id, top: TOP, minStages: 3 })
    const plans = [...free.plans, ...split.plans, ...free.native]
    expect(split.plans.length).toBeGreaterThan(3)
    for (const plan of plans) {
      const deployment = await deployAndWait(planner, { plan: plan.id })
      const answer = await createInferenceClient(deployment.entry.resource, deployment.entry.url).infer(
        deployment.id,
        inputs,
      )
      const { maxAbsDiff, maxAbsOutput } = compareOutputs(reference.outputs, answer.outputs)
      expect(maxAbsOutput).toBeGreaterThan(0)
      expect(maxAbsDiff, plan.id).toBeLessThanOrEqual(1e-5 * maxAbsOutput)
      await planner.undeploy(deployment.id)
    }
  }
})
