/**
 * What `npm start` starts listens on this machine only, asks for a password where it holds data, and is started again when it is
 * killed: clients notice at most errors, and nobody gets a wrong answer.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Redis } from 'ioredis'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { deployAndWait } from '../../infra/steps/deploy-plan.ts'
import { isAlive } from '../infra/processes/support.ts'
import { REAL_SERVER } from '../redis/persistent-server.ts'
import { compareAll } from '../support/compare-tensors.ts'
import { eventually, until } from '../support/eventually.ts'
import { kill } from '../support/kill.ts'
import { commandOf, isLoopback, listeningOf, treeOf, whyNotTold } from '../support/listening.ts'
import { measured } from '../support/measured.ts'
import { startTestSystem, type TestSystem } from '../support/system.ts'
import { ownFile } from '../support/test-models.ts'

const notTold = whyNotTold()
if (notTold !== undefined) console.log(`skipped: ${notTold}`)
if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

/** As the demonstration's: where a part ran on another machine, sums may be rounded otherwise. */
const TOLERANCE = 1e-5

const KINDS = [
  { kind: 'emulated', env: { PATH: '' }, skip: false },
  { kind: 'private', env: { PATH: process.env.PATH }, skip: REAL_SERVER === undefined },
] as const

describe.each(KINDS)('a system with its $kind Redis', ({ kind, env, skip }) => {
  let system: TestSystem
  let inputs: Tensor[]
  let right: Tensor[]

  beforeAll(async () => {
    if (skip) return
    system = await startTestSystem({ env, restarts: { firstMs: 200 } })
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    const planner = createPlannerClient(system.plannerUrl)
    const { id } = await benchmark.uploadModel(ownFile('digits-cnn.onnx'), 'digits')
    await measured(benchmark, { model: 'digits', resources: ['device', 'edge', 'cloud'] })
    inputs = makeInputs((await benchmark.structure(id)).inputs, 3)
    const { plans } = await planner.plans({ model: 'digits', minStages: 3 })
    await deployAndWait(planner, { plan: plans[0]?.id ?? '', name: 'split' })
    right = (await ask()).outputs
  })
  afterAll(() => system?.close())

  const device = () => system.resources.find(({ name }) => name === 'device')?.url ?? ''
  const ask = () => createInferenceClient('device', device()).infer('split', inputs)

  it.skipIf(skip || notTold !== undefined)('listens on loopback only, with all that belongs to it', () => {
    // This process stands for that of `npm start`, which listens nowhere itself.
    const pids = treeOf(process.pid)
    const listening = listeningOf(pids)
    expect(listening.filter((one) => !isLoopback(one))).toEqual([])
    const [redisPort, ...ports] = [
      system.redis.url,
      ...[system.benchmark, system.planner, ...system.resources].map(({ url }) => url),
    ].map((url) => Number(new URL(url).port))
    expect(listening.map(({ port }) => port)).toEqual(expect.arrayContaining([redisPort, ...ports]))
    expect(listening.filter(({ pid }) => pid === system.links.pid)).toHaveLength(3)
    expect(listening.find(({ port }) => port === redisPort)?.pid).toBe(system.redis.pid)
  })

  it.skipIf(skip)('has a Redis that answers those who know its password, which shows nowhere', async () => {
    const { password, port } = new URL(system.redis.url)
    expect(password).toMatch(/^[\w-]{32}$/)
    const stranger = new Redis(Number(port), '127.0.0.1', { lazyConnect: true, retryStrategy: null })
    stranger.on('error', () => undefined)
    await expect(stranger.get('x')).rejects.toThrow(/NOAUTH/)
    stranger.disconnect()
    expect(system.redis.description).not.toContain(password)
    for (const { url } of [system.benchmark, system.planner, ...system.resources])
      expect(await (await fetch(`${url}/healthz`)).text()).not.toContain(password)
    if (notTold === undefined)
      expect(
        treeOf(process.pid)
          .map(commandOf)
          .filter((command) => command.includes(password)),
      ).toEqual([])
  })

  /** Asks on and on. @returns what stops it and tells how many answers were right and which were wrong. */
  function keepAsking() {
    const stopping = new AbortController()
    const found = { right: 0, wrong: [] as unknown[], failed: 0 }
    const done = (async () => {
      while (!stopping.signal.aborted)
        try {
          const { outputs } = await ask()
          if (isRight(outputs)) found.right += 1
          else found.wrong.push(outputs)
        } catch {
          found.failed += 1
        }
    })()
    return {
      found,
      stop: async () => {
        stopping.abort()
        await done
        return found
      },
    }
  }
  const isRight = (outputs: readonly Tensor[]) =>
    compareAll(byName(outputs), byName(right)).apart <= TOLERANCE
  const byName = (outputs: readonly Tensor[]) => new Map(outputs.map((output) => [output.name, output]))

  const PROCESSES: [string, () => { readonly pid?: number | undefined }][] = [
    ['the benchmark service', () => system.benchmark],
    ['the planner', () => system.planner],
    ...['device', 'edge', 'cloud'].map((name): [string, () => { pid: number | undefined }] => [
      name,
      () => system.resources.find((one) => one.name === name) ?? { pid: undefined },
    ]),
    ['the link emulator', () => system.links],
    ['Redis', () => system.redis],
  ]

  it.skipIf(skip).each(PROCESSES)(
    'has %s started again, with right answers only meanwhile',
    async (_name, find) => {
      const asking = keepAsking()
      const { pid } = find()
      kill({ pid })
      await until(async () => find().pid !== undefined && find().pid !== pid)
      expect(isAlive(pid)).toBe(false)
      await works()
      const before = asking.found.right
      await until(async () => asking.found.right > before)
      const { wrong } = await asking.stop()
      expect(wrong).toEqual([])
    },
  )

  /** All services are ready, all that they know is there, and requests are answered by all three machines. */
  async function works(): Promise<void> {
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    const planner = createPlannerClient(system.plannerUrl)
    await eventually(async () => {
      for (const { url } of [system.benchmark, system.planner, ...system.resources])
        expect((await fetch(`${url}/readyz`)).status).toBe(200)
      expect((await benchmark.models()).map(({ name }) => name)).toEqual(['digits'])
      const resources = await planner.resources()
      expect(resources.filter(({ alive }) => alive).map(({ name }) => name)).toHaveLength(3)
      expect((await planner.plans({ model: 'digits', minStages: 3 })).plans.length).toBeGreaterThan(0)
      expect(await planner.deployment('split')).toMatchObject({ state: 'ready' })
      const { outputs, parameters } = await ask()
      expect(isRight(outputs)).toBe(true)
      expect(parameters).not.toHaveProperty('scission_hop1_insteadOf')
      expect(parameters).not.toHaveProperty('scission_hop2_insteadOf')
    })
  }

  it.skipIf(skip)('is measured anew, where all was started again', async () => {
    const benchmark = createBenchmarkClient(system.benchmarkUrl)
    await measured(benchmark, { model: 'digits', resources: ['device', 'edge', 'cloud'], force: true })
    expect(system.redis.kind).toBe(kind)
  })
})
