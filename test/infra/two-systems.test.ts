/** Two systems of one checkout, started at once: each has its own data, and one cannot break the other. */
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSystem, type System } from '../../infra/start/system.ts'
import { runningSystems } from '../../infra/start/system-file.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createLog } from '../../shared/platform/log.ts'
import type { Status } from '../../infra/cli/commands/status-command.ts'
import { runNode, SCISSION } from '../support/command.ts'
import { withFolder } from '../support/folder.ts'
import { ownFile } from '../support/test-models.ts'

const folder = withFolder('two-systems')
const SHIFT_CLOCK = new URL('../support/shift-clock.mjs', import.meta.url).href
/** Below the ports of outgoing connections, and of no other test. */
const BASES = [13_100, 13_200] as const

describe('two systems of one checkout', () => {
  let root: string
  let systems: System[] = []

  const start = (portBase: number) => {
    const testbed = path.join(root, 'testbed.json')
    const resources = [{ name: 'device', tier: 'device', slowdown: 1 }]
    writeFileSync(testbed, JSON.stringify({ tiers: ['device'], resources, links: [] }))
    const log = createLog('test', 'silent')
    return startSystem({ testbed, network: undefined, portBase, dataDir: root, log })
  }

  beforeAll(async () => {
    root = folder()
    systems = await Promise.all(BASES.map(start))
  })
  afterAll(() => Promise.all(systems.map((system) => system.close())))

  it('run beside each other and say where they are', () => {
    const running = runningSystems(root)
    expect(running.map(({ portBase, state }) => [portBase, state])).toEqual(
      BASES.map((portBase) => [portBase, 'running']),
    )
    expect(running.map(({ services }) => services)).toEqual(
      systems.map(({ benchmarkUrl, plannerUrl, resources }) => ({
        benchmark: benchmarkUrl,
        planner: plannerUrl,
        resources: { device: resources[0]?.url },
      })),
    )
    expect(new Set(systems.map(({ dataDir }) => dataDir)).size).toBe(2)
  })

  it('say how long they are up by their own word, whatever the clock of who asks', async () => {
    const env = {
      ...process.env,
      NO_COLOR: '1',
      SCISSION_DATA: root,
      NODE_OPTIONS: `--import ${SHIFT_CLOCK}`,
      CLOCK_OFFSET_MS: String(5 * 3_600_000),
    }
    const status = (...args: string[]) =>
      runNode([SCISSION, '--port-base', String(BASES[0]), ...args, 'status'], { env })
    const { stdout, stderr } = await status()
    expect(stdout, stderr).toMatch(
      /started at \d{4}-.*\n[^]*version +up +address[^]*planner +ready +\S+ +\d+ (s|min) /,
    )
    expect(stdout).not.toMatch(/\d h\b/)
    const { services, resources } = JSON.parse((await status('--json')).stdout) as Status
    for (const { uptimeMs } of [...services, ...resources]) expect(uptimeMs).toBeLessThan(3_600_000)
  })

  it('have models of their own: one that is deleted in one stays in the other', async () => {
    const clients = systems.map(({ benchmarkUrl }) => createBenchmarkClient(benchmarkUrl))
    const uploads = clients.map((client) => client.uploadModel(ownFile('digits-cnn.onnx'), 'digits'))
    const [first, second] = await Promise.all(uploads)
    await clients[0]?.deleteModel(first?.id ?? '')
    expect(await clients[0]?.models()).toEqual([])
    const left = await fetch(`${systems[1]?.resources[0]?.url}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { 'Inference-Header-Content-Length': '0' },
      body: new Uint8Array(second?.inputs[0] ? 28 * 28 * 4 : 0),
    })
    expect(left.status, await left.text()).toBe(200)
  })

  it('are not joined by a third on a port base that is taken, which leaves it as it is', async () => {
    await expect(start(BASES[0])).rejects.toThrow(/--port-base 13100 is there already.*another --port-base/)
    expect((await fetch(`${systems[0]?.benchmarkUrl}/readyz`)).status).toBe(200)
  })

  it('leave nothing that says they run once they are stopped', async () => {
    await Promise.all(systems.splice(0).map((system) => system.close()))
    expect(runningSystems(root)).toEqual([])
    expect(existsSync(path.join(root, 'systems', `${BASES[0]}.json`))).toBe(false)
  })
})
