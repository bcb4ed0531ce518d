/** A run without end, in a process of its own: other runs are answered, and the process can be stopped. */
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { startProcess } from '../../../infra/start/processes/process.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { withFolder } from '../../support/folder.ts'
import { kill } from '../../support/kill.ts'

const folder = withFolder('endless')

describe('a Loop of 10^15 turns', () => {
  it('leaves other runs a thread, and does not keep the process from being stopped', async () => {
    const service = await startProcess({
      name: 'endless',
      entry: new URL('../support/endless-run.ts', import.meta.url),
      env: { TEST_FOLDER: folder() },
      log: createLog('test', 'silent'),
    })
    expect(fs.readFileSync(path.join(folder(), 'restarts'), 'utf8')).toBe('1')
    kill(service, 'SIGTERM')
    expect(await service.exited).toMatchObject({ signal: 'SIGKILL' })
  })
})
