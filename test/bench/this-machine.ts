/** A system of resources that all are this machine as it is: no slowdown, no links between them. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { startSystem, type System } from '../../infra/start/system.ts'
import { createLog } from '../../shared/platform/log.ts'

/** @param folder for its data. @param names of the resources, each of the tier of its name, else of `device`. @param tiers those that exist. */
export function startThisMachine(
  folder: string,
  names: readonly string[] = ['device'],
  tiers: readonly string[] = ['device'],
): Promise<System> {
  const testbed = path.join(folder, 'testbed.json')
  const resources = names.map((name) => ({
    name,
    tier: tiers.includes(name) ? name : 'device',
    slowdown: 1,
  }))
  writeFileSync(testbed, JSON.stringify({ tiers, resources, links: [] }))
  const dataDir = path.join(folder, 'data')
  const log = createLog('bench', 'error')
  return startSystem({ testbed, network: undefined, portBase: 0, dataDir, log })
}
