/** The pace of a machine with a quota of CPU time that stops requests outside of their runs. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, expect, it, vi } from 'vitest'
import { PaceSampler } from '../../../services/inference/pace/pace-sampler.ts'
import { createLog } from '../../../shared/platform/log.ts'

vi.mock('../../../shared/platform/cgroup.ts', () => ({
  readCgroupLimits: () => ({ cpu: { quotaMs: 50, periodMs: 100 } }),
  throttling: () => ({ stops: 0, stoppedMs: 0 }),
}))

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-stopped-'))
afterAll(() => fs.rmSync(folder, { recursive: true }))

const samplerOf = (threads: number) =>
  new PaceSampler({
    name: 'edge',
    slowdown: 1,
    threads,
    file: path.join(folder, 'reference.onnx'),
    intervalMs: 20,
    state: { paces: { put: async () => undefined } } as never,
    log: createLog('test', 'silent'),
    busy: () => false,
    isOwner: () => true,
  })

async function answered(threads: number) {
  const sampler = samplerOf(threads)
  sampler.start()
  try {
    await vi.waitFor(() => expect(sampler.pace()).toBeDefined(), { timeout: 60_000 })
    const run = { cpuMs: 40, wallMs: 40 }
    for (let at = 0; at < 10; at += 1) sampler.called(1, run)
    for (let at = 0; at < 10; at += 1) sampler.called(46, run)
    return sampler.pace()
  } finally {
    await sampler.close()
  }
}

it('counts them as stops, and not as what a request costs', async () => {
  const pace = await answered(1)
  expect(pace?.quotaSeen).toEqual({ share: (10 * 50) / (20 * 40), stopMs: 45 })
  expect(pace?.callMs?.high).toBeLessThan(5)
})

it('does not know them where several threads compute: their CPU time does not say how long they stood', async () => {
  const pace = await answered(2)
  // The control group may have told by now that there were none.
  expect(pace?.quotaSeen?.share ?? 0).toBe(0)
  expect(pace?.callMs?.high).toBeGreaterThan(45)
})
