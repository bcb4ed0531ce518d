/** A whole system for a test, its links measured: fast ones and no slowdown unless a test wants to see them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { startSystem, type System, type SystemOptions } from '../../infra/start/system.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { createLog } from '../../shared/platform/log.ts'
import { pollUntil } from '../../infra/steps/poll-until.ts'
import { PATIENCE_MS } from './patience.ts'

export interface TestSystem extends System {
  folder: string
}

const FAST = { rttMs: 0.1, upMbps: 5000, downMbps: 5000 }
const TIERS = ['device', 'edge', 'cloud']

/**
 * Waits until every link is measured: until then no plan leads over it. Benchmarks use it too, which run without the packages
 * of tests.
 */
export async function linksMeasured(system: System): Promise<void> {
  const planner = createPlannerClient(system.plannerUrl)
  const machines = system.resources.length
  const wanted = (machines * (machines - 1)) / 2
  const wait = { everyMs: 50, timeoutMs: PATIENCE_MS }
  const links = await pollUntil(
    () => planner.links(),
    (found) => found.length === wanted,
    wait,
  )
  if (links.length < wanted)
    throw new Error(`${links.length} of ${wanted} links were measured in ${PATIENCE_MS} ms`)
}

/** For tests in which a machine that is killed stays away. */
export const NO_RESTARTS = { quickEnds: 0 }

interface TestSystemOptions extends Pick<SystemOptions, 'restarts'> {
  /** Holds REDIS_URL, if anything does. @defaultValue process.env */
  env?: NodeJS.ProcessEnv
}

export async function startTestSystem({
  env = process.env,
  restarts,
}: TestSystemOptions = {}): Promise<TestSystem> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-test-'))
  const testbed = path.join(folder, 'testbed.json')
  const links = [
    ['device', 'edge'],
    ['device', 'cloud'],
    ['edge', 'cloud'],
  ].map(([from, to]) => ({ from, to, ...FAST }))
  const resources = TIERS.map((name) => ({ name, tier: name }))
  writeFileSync(testbed, JSON.stringify({ tiers: TIERS, resources, links }))
  const dataDir = path.join(folder, 'data')
  try {
    const system = await startSystem({
      testbed,
      network: undefined,
      portBase: 0,
      dataDir,
      log: createLog('test', 'error'),
      env,
      restarts,
    })
    await linksMeasured(system).catch(async (thrown: unknown) => {
      await system.close()
      throw thrown
    })
    const close = async () => {
      await system.close()
      rmSync(folder, { recursive: true, force: true })
    }
    return { ...system, folder, close }
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true })
    throw thrown
  }
}
