/** What interrupted uploads left in the folder that replicas share. */
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { ModelStore } from '../../../services/benchmark/models/model-store.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { withFolder } from '../../support/folder.ts'

const folder = withFolder('leftovers')
const HOUR_MS = 3_600_000

afterEach(() => void vi.useRealTimers())

it.each([-24, 0, 24])(
  'are removed by the time of the files, whatever a clock that is off by %s h says',
  async (hours) => {
    const dataDir = path.join(folder(), String(hours))
    const incoming = path.join(dataDir, 'incoming')
    for (const name of ['running', 'left']) {
      mkdirSync(path.join(incoming, name), { recursive: true })
      writeFileSync(path.join(incoming, name, 'part'), '')
    }
    const longAgo = new Date(Date.now() - 2 * HOUR_MS)
    for (const one of ['left/part', 'left']) utimesSync(path.join(incoming, one), longAgo, longAgo)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * HOUR_MS })
    await new ModelStore(dataDir, createLog('test', 'silent')).open()
    expect(readdirSync(incoming)).toEqual(['running'])
  },
)
