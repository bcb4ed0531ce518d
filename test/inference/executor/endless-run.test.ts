/** A run without end, in a process of its own: other runs are answered, and the process can be stopped. */
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { startProcess } from '../../../infra/start/processes/process.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { withFolder } from '../../support/folder.ts'
import { kill } from '../../support/kill.ts'

const folder = withFolder('endless')

interface Heard {
  restarts: number
  behind: string[]
}

describe('Loops of 10^15 turns, one after another', () => {
  it('leave other runs a thread while they can, say so where not, and do not keep the process from being stopped', async () => {
    const service = await startProcess({
      name: 'endless',
      entry: new URL('../support/endless-run.ts', import.meta.url),
      env: { TEST_FOLDER: folder() },
      log: createLog('test', 'silent'),
    })
    const heard = JSON.parse(fs.readFileSync(path.join(folder(), 'heard.json'), 'utf8')) as Heard
    expect(heard.restarts).toBe(2)
    const heldUp = 'another request’s run, which nobody waits for any more,'
    const expected = [
      // While it may still end; sent to the thread that was replaced; to one that is not; to one that will not be.
      `deadlineExceeded waiting for running .*: not begun before its deadline: ${heldUp} has held up .* 3000 ms after`,
      `overloaded running .*: not begun: ${heldUp} held up .* new thread .*send the request again`,
      `overloaded running .*: not begun: ${heldUp} has held up .*restart this service`,
      `overloaded running .*: not begun: ${heldUp} has held up .*restart this service`,
    ]
    expect(heard.behind).toEqual(expected.map((one) => expect.stringMatching(new RegExp(`^${one}`))))
    kill(service, 'SIGTERM')
    // Closed in order: once its time was up, the signal would be SIGKILL.
    expect(await service.exited).toMatchObject({ signal: 'SIGTERM' })
  })
})
