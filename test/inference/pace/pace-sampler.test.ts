import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { PaceSampler } from '../../../services/inference/pace/pace-sampler.ts'
import { openReference } from '../../../services/inference/pace/reference-runs.ts'
import { Pace } from '../../../shared/contracts/pace.ts'
import { REFERENCE_NETWORK } from '../../../shared/contracts/pace-network.ts'
import { createLog } from '../../../shared/platform/log.ts'

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-pace-'))
const file = path.join(folder, 'deeper', 'reference.onnx')
afterAll(() => fs.rmSync(folder, { recursive: true }))

const samplers: PaceSampler[] = []
afterEach(async () => {
  for (const sampler of samplers.splice(0)) await sampler.close()
})

function samplerWith(busy = () => false, isOwner = () => true) {
  const told: Pace[] = []
  const put = async (_: string, pace: Pace) => void told.push(Pace.parse(pace))
  const sampler = new PaceSampler({
    name: 'edge',
    slowdown: 1,
    threads: 1,
    file,
    intervalMs: 20,
    state: { paces: { put } } as never,
    log: createLog('test', 'silent'),
    busy,
    isOwner,
  })
  samplers.push(sampler)
  return { sampler, told }
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe('the pace of a machine', () => {
  it('is sampled while idle, and told', async () => {
    const { sampler, told } = samplerWith()
    sampler.start()
    await until(() => told.length > 0)
    expect(told[0]).toMatchObject({ resource: 'edge', network: REFERENCE_NETWORK, threads: 1 })
    expect(told[0]?.cpuMs.median).toBeGreaterThan(0)
    expect(told[0]?.requestMs.median).toBeGreaterThanOrEqual(told[0]?.cpuMs.median ?? 0)
    expect(told[0]?.samples.idle).toBeGreaterThan(0)
  })

  it('is told again once there are enough samples to plan with', async () => {
    const { sampler, told } = samplerWith()
    sampler.start()
    await until(() => told.length > 1)
    expect(told[0]?.samples.idle).toBe(1)
    // Fewer than 15 are of the same load on a machine on which it changes.
    expect(told[1]?.samples.idle).toBeGreaterThan(1)
    expect(told[1]?.samples.idle).toBeLessThanOrEqual(15)
  })

  it('is not sampled while requests are computed; their stages are samples', async () => {
    const { sampler } = samplerWith(() => true)
    sampler.start()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(sampler.pace()).toBeUndefined()
    sampler.served(3, 1.5)
    expect(sampler.pace()).toMatchObject({ samples: { idle: 0, served: 1 }, cpuMs: { median: 3 } })
    expect(sampler.pace()?.requestMs.median).toBe(4.5)
    // A burst of requests is one sample.
    sampler.served(9, 1)
    expect(sampler.pace()?.samples.served).toBe(1)
  })

  it('is not sampled while a profile is measured, whose runs are samples when it ends', async () => {
    const { sampler, told } = samplerWith()
    const goOn = sampler.pause()
    sampler.start()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(sampler.pace()).toBeUndefined()
    sampler.profiled([
      { agoMs: 200, cpuMs: 2 },
      { agoMs: 100, cpuMs: 4 },
    ])
    expect(told.at(-1)?.cpuMs.median).toBe(3)
    goOn()
    // A second call ends no other pause.
    goOn()
    await until(() => (sampler.pace()?.samples.idle ?? 0) > 2)
  })

  it('is told only while the name is this service’s: at once when it is again', () => {
    let isOwner = true
    const { sampler, told } = samplerWith(
      () => false,
      () => isOwner,
    )
    const profiled = (cpuMs: number) => sampler.profiled([{ agoMs: 0, cpuMs }])
    profiled(2)
    expect(told).toHaveLength(1)
    isOwner = false
    profiled(4)
    expect(told).toHaveLength(1)
    expect(sampler.pace()?.samples.idle).toBe(2)
    isOwner = true
    profiled(6)
    expect(told.at(-1)?.cpuMs.median).toBe(4)
  })

  it('can be closed at any moment of a sample', { timeout: 120_000 }, async () => {
    for (let afterMs = 20; afterMs < 120; afterMs += 10) {
      const { sampler } = samplerWith()
      sampler.start()
      await new Promise((resolve) => setTimeout(resolve, afterMs))
      await sampler.close()
    }
  })

  it('goes on without a Redis to tell it to', async () => {
    const { sampler } = samplerWith()
    const lost = new PaceSampler({
      name: 'lost',
      slowdown: 1,
      threads: 1,
      file,
      intervalMs: 20,
      state: { paces: { put: () => Promise.reject(new Error('Redis is away')) } } as never,
      log: createLog('test', 'silent'),
      busy: () => false,
      isOwner: () => true,
    })
    samplers.push(lost)
    lost.start()
    await until(() => (lost.pace()?.samples.idle ?? 0) > 1)
    expect(sampler.pace()).toBeUndefined()
  })
})

it('the reference network is made where it is missing or damaged', async () => {
  const damaged = path.join(folder, 'damaged.onnx')
  fs.writeFileSync(damaged, 'no model')
  for (const at of [damaged, path.join(folder, 'new.onnx')]) {
    await openReference(1, at)
    expect(fs.statSync(at).size).toBeGreaterThan(100_000)
  }
  expect(fs.readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([])
})

it('the reference network takes time, of the CPU and by the clock', async () => {
  const reference = await openReference(1, file)
  const { cpuMs, waiting } = await reference.sample(10)
  expect(cpuMs).toBeGreaterThan(0)
  expect(waiting).toBeGreaterThanOrEqual(1)
})
