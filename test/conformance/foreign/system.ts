/** A running system for the clients of other projects, with a model to call whole, by layers, and split. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { createBenchmarkClient } from '../../../shared/client/benchmark.ts'
import { createPlannerClient } from '../../../shared/client/planner.ts'
import { eventually } from '../../support/eventually.ts'
import { startedOnce } from '../../support/started.ts'
import { startTestSystem, type TestSystem } from '../../support/system.ts'
import { typedModel } from './typed-model.ts'
import { measured } from '../../support/measured.ts'

export interface ForeignSystem extends TestSystem {
  /** Of the resource that clients call. */
  device: string
  /** File of the model `plain`. */
  file: string
  /** What a client may call: the model `typed`, all of its layers as a range, and a deployment over two resources. */
  typed: string[]
  /** The same of a model without FP16, for clients that know JSON only. */
  plain: string[]
}

/** One for all tests of the file or group in which it is called. */
export const withForeignSystem = (): (() => ForeignSystem) =>
  startedOnce(startForeignSystem, (system) => system.close())

async function startForeignSystem(): Promise<ForeignSystem> {
  const system = await startTestSystem()
  try {
    return await prepare(system)
  } catch (thrown) {
    await system.close()
    throw thrown
  }
}

async function prepare(system: TestSystem): Promise<ForeignSystem> {
  const device = system.resources.find(({ name }) => name === 'device')?.url ?? ''
  const typed = await serve(system, device, 'typed', true)
  const plain = await serve(system, device, 'plain', false)
  return { ...system, device, file: fileOf(system, 'plain'), typed, plain }
}

const fileOf = ({ folder }: TestSystem, name: string) => path.join(folder, `${name}.onnx`)

/** Uploads, measures, deploys and loads a model. @returns its targets. */
async function serve(system: TestSystem, device: string, name: string, halves: boolean): Promise<string[]> {
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  const planner = createPlannerClient(system.plannerUrl)
  writeFileSync(fileOf(system, name), typedModel(halves))
  const { layers } = await benchmark.uploadModel(fileOf(system, name), name)
  await measured(benchmark, { model: name, runs: 3 })
  const { plans } = await planner.plans({
    model: name,
    mustUseTiers: ['device', 'edge'],
    minStages: 2,
    cuts: 'any',
  })
  const [best] = plans
  if (!best) throw new Error(`there is no plan for ${name} over two resources`)
  const deployment = await planner.deploy({ plan: best.id, name: `${name}-split` })
  await eventually(async () => expect((await planner.deployment(deployment.id)).state).toBe('ready'))
  const targets = [name, `${name}:0-${layers}`, deployment.id]
  for (const target of targets) {
    const loaded = await fetch(`${device}/v2/repository/models/${target}/load`, { method: 'POST' })
    if (!loaded.ok) throw new Error(await loaded.text())
  }
  return targets
}
