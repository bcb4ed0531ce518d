/** What ends a command or a service in order, and what ends it at once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { withFolder } from '../../support/folder.ts'

const folder = withFolder('stop-signals')
const COMMAND = fileURLToPath(new URL('entries/stops-slowly.ts', import.meta.url))
const SERVICE = fileURLToPath(new URL('entries/serves-slowly.ts', import.meta.url))

/** Longer than the watch for npm's shell. */
const STOP_MS = 2000

/** @param shell runs it as npm does, in a shell that waits for it. */
async function begun(
  name: string,
  { shell = false, stopMs = STOP_MS, script = COMMAND, more = [] as string[] } = {},
) {
  const [stopped, ready] = [path.join(folder(), name), path.join(folder(), `${name}.begun`)]
  const command = [process.execPath, '--import', 'tsx', script, stopped, ready, String(stopMs), ...more]
  const [file = '', ...args] = shell ? ['sh', '-c', '"$0" "$@"; true', ...command] : command
  const child: ChildProcess = spawn(file, args, { env: { ...process.env, npm_lifecycle_event: 'start' } })
  const pid = await eventually(() => {
    const found = existsSync(ready) ? Number(readFileSync(ready, 'utf8')) : 0
    expect(found).toBeGreaterThan(0)
    return found
  })
  const inOrder = () => expect(existsSync(stopped)).toBe(true)
  return { child, pid, inOrder, ended: once(child, 'close') as Promise<[number | null]> }
}

it('a signal that npm has passed on once more is the same one', async () => {
  const { child, inOrder, ended } = await begun('twice')
  child.kill('SIGTERM')
  child.kill('SIGTERM')
  child.kill('SIGINT')
  // The system does not keep the order of signals that wait.
  expect([130, 143]).toContain((await ended)[0])
  inOrder()
})

it('a shell that ends by the same signal does not cut the end short', async () => {
  const { child, pid, inOrder } = await begun('closed', { shell: true })
  process.kill(pid, 'SIGHUP')
  child.kill('SIGKILL')
  await eventually(inOrder)
})

it('the end of npm’s shell alone is a signal', async () => {
  const { child, inOrder } = await begun('orphaned', { shell: true })
  child.kill('SIGKILL')
  await eventually(inOrder)
})

it('a second signal ends it at once', async () => {
  const { child, pid, ended } = await begun('again', { stopMs: 60_000 })
  const again = setInterval(() => child.kill('SIGINT'), 300)
  process.kill(pid, 'SIGINT')
  expect((await ended)[0]).toBe(130)
  clearInterval(again)
  expect(existsSync(path.join(folder(), 'again'))).toBe(false)
})

it('a service finishes its work however often it is told to end, with 0', async () => {
  const { child, inOrder, ended } = await begun('service', { script: SERVICE })
  // npm passes on what its whole group got, and a terminal that closes sends its own.
  for (const signal of ['SIGTERM', 'SIGTERM', 'SIGHUP'] as const) child.kill(signal)
  const later = setInterval(() => child.kill('SIGTERM'), 1200)
  expect((await ended)[0]).toBe(0)
  clearInterval(later)
  inOrder()
})

it('a service ends at once with a second Ctrl-C', async () => {
  const { child, ended } = await begun('interrupted', { stopMs: 60_000, script: SERVICE })
  const again = setInterval(() => child.kill('SIGINT'), 300)
  expect((await ended)[0]).toBe(null)
  clearInterval(again)
  expect(existsSync(path.join(folder(), 'interrupted'))).toBe(false)
})

it('a service that is told to end while it starts closes what it has started, with 0', async () => {
  const { child, inOrder, ended } = await begun('early', { stopMs: 0, script: SERVICE, more: ['1500'] })
  child.kill('SIGTERM')
  expect((await ended)[0]).toBe(0)
  inOrder()
})

it('a service that is told to end while its start fails says so with its exit code', async () => {
  const { child, ended } = await begun('failed', { script: SERVICE, more: ['1500', 'no disk'] })
  child.kill('SIGTERM')
  expect((await ended)[0]).toBe(1)
})

it('a service whose start does not end is killed after its grace time', async () => {
  const { child, ended } = await begun('stuck', { script: SERVICE, more: [String(2 ** 30)] })
  child.kill('SIGTERM')
  expect(await ended).toEqual([null, 'SIGKILL'])
})
