/** Faults of real life, made on purpose: Redis is cut off, a machine is killed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import path from 'node:path'
import { runBenchmark } from '../../infra/steps/run-benchmark.ts'
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { type LinkEmulator, startLinkEmulator } from '../../infra/testbed/link-emulator/emulator.ts'
import { uploadFiles } from '../../infra/steps/upload-model.ts'
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { startTestRedis, type TestRedis, throughPort } from '../support/redis.ts'
import { NO_RESTARTS, startTestSystem, type TestSystem } from '../support/system.ts'
import { kill } from '../support/kill.ts'

let redis: TestRedis
let line: LinkEmulator
let system: TestSystem
let benchmark: BenchmarkClient
let planner: PlannerClient
let deployment: DeploymentView
let inputs: Tensor[]
let model: string

beforeAll(async () => {
  redis = await startTestRedis()
  const { hostname, port } = new URL(redis.url)
  // Redis is reached over a line of its own, which can be cut.
  const unlimited = { rttMs: 0, upMbps: null, downMbps: null }
  line = await startLinkEmulator([
    { name: 'redis', ...unlimited, target: { host: hostname, port: Number(port) } },
  ])
  const env = { ...process.env, REDIS_URL: throughPort(redis.url, line.ports.redis) }
  system = await startTestSystem({ env, restarts: NO_RESTARTS })
  benchmark = createBenchmarkClient(system.benchmarkUrl)
  planner = createPlannerClient(system.plannerUrl)
  const file = path.join(system.folder, 'net.onnx')
  await buildZooModel('mobilenetv2', file)
  model = (await uploadFiles(benchmark, file, { name: 'net' })).id
  inputs = makeInputs((await benchmark.structure(model)).inputs, 3)
  await runBenchmark(benchmark, { model, runs: 3 }, { update: () => undefined, stop: () => undefined })
  const query = { model, mustUseResources: ['device', 'edge'], mustNotUseResources: ['cloud'], minStages: 2 }
  const { plans } = await planner.plans(query)
  deployment = await deployAndWait(planner, { plan: plans[0]?.id ?? '', name: 'split' })
})
afterAll(async () => {
  await system?.close()
  await line?.close()
  await redis?.close()
})

const infer = () => createInferenceClient('device', deployment.entry.url).infer('split', inputs)
const status = async (url: string) => (await fetch(url)).status

describe('while Redis is cut off', () => {
  it('what is deployed goes on serving, what needs Redis is a 503, and all works again once it is back', async () => {
    await infer()
    await line.cut('redis', 'reset')
    await expect.poll(() => status(`${system.benchmarkUrl}/v1/models`)).toBe(503)
    const refused = await fetch(`${system.benchmarkUrl}/v1/models`)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toMatchObject({ error: { code: 'queueUnavailable' } })
    expect(await status(`${system.plannerUrl}/v1/deployments`)).toBe(503)
    expect(await status(`${system.plannerUrl}/healthz`)).toBe(200)
    const answer = await infer()
    expect(answer.outputs.length).toBe(1)

    await line.restore('redis')
    await expect.poll(() => status(`${system.benchmarkUrl}/v1/models`)).toBe(200)
    await expect.poll(() => status(`${system.plannerUrl}/readyz`)).toBe(200)
    const done = await runBenchmark(
      benchmark,
      { model, runs: 4 },
      { update: () => undefined, stop: () => undefined },
    )
    expect(done.parts.map((part) => part.state)).toEqual(['completed', 'completed', 'completed'])
    expect((await infer()).outputs.length).toBe(1)
  })
})

describe('when a machine is killed', () => {
  it('the rest runs where it can, or requests name it; plans leave it out, other plans go on', async () => {
    await deployAndWait(planner, { plan: deployment.planId, name: 'strict', fallback: 'none' })
    const edge = system.resources.find((resource) => resource.name === 'edge')
    kill(edge ?? {})
    const strict = createInferenceClient('device', deployment.entry.url).infer('strict', inputs)
    await expect(strict).rejects.toThrow(/edge/)
    expect((await infer()).parameters).toMatchObject({ scission_hop1_insteadOf: 'edge' })
    await expect
      .poll(async () => (await planner.plans({ model })).leftOut.map((one) => one.resource), {
        interval: 500,
      })
      .toContain('edge')
    const { plans } = await planner.plans({ model, mustUseTiers: ['cloud'], minStages: 2 })
    await deployAndWait(planner, { plan: plans[0]?.id ?? '', name: 'without-edge' })
    const answer = await createInferenceClient('device', deployment.entry.url).infer('without-edge', inputs)
    expect(answer.outputs.length).toBe(1)
    await expect(planner.plans({ model, mustUseTiers: ['edge'] })).rejects.toThrow(/edge/)
    // Deploying onto it fails with its name; it does not hang.
    await expect(deployAndWait(planner, { plan: deployment.planId, name: 'again' })).rejects.toThrow(/edge/)
  })
})
