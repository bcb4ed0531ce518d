/** Priorities are lowered and never raised, also where everything was started with a low one. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import os from 'node:os'
import { afterEach, expect, it } from 'vitest'
import { BELOW_ALL, BELOW_SERVING, giveWay } from '../../../shared/platform/processes/priority.ts'

const started: ReturnType<typeof spawn>[] = []
afterEach(() => started.splice(0).forEach((child) => child.kill('SIGKILL')))

async function idle() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  started.push(child)
  await once(child, 'spawn')
  return { child, pid: child.pid ?? -1 }
}

it('lowers the priority of a process, and does not raise it again', async () => {
  const { pid } = await idle()
  giveWay(BELOW_ALL, pid)
  const low = os.getPriority(pid)
  expect(low).toBeGreaterThanOrEqual(BELOW_ALL)
  giveWay(BELOW_SERVING, pid)
  expect(os.getPriority(pid)).toBe(low)
})

it('leaves a process alone that has ended', async () => {
  const { child, pid } = await idle()
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(() => giveWay(BELOW_ALL, pid)).not.toThrow()
})
