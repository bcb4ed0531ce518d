/** The lock of an experiment's folder: refused while its owner runs, here or elsewhere, and taken over once it is gone. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { LOCK_FILE, lockFolder } from '../../infra/experiment/folder-lock.ts'
import { runNode } from '../support/command.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'

const root = withFolder('folder-lock')
function newFolder(name: string): string {
  const folder = path.join(root(), name)
  mkdirSync(folder)
  return folder
}
const lockOf = (folder: string) => path.join(folder, LOCK_FILE)
const ownerOf = (folder: string) => JSON.parse(readFileSync(lockOf(folder), 'utf8')) as object

/** What a process leaves that is killed, but for what is told. */
async function leave(folder: string, changes: object): Promise<void> {
  const lock = await lockFolder(folder)
  const owner = ownerOf(folder)
  lock.release()
  writeFileSync(lockOf(folder), JSON.stringify({ ...owner, ...changes }))
}

async function endedPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  return child.pid ?? 0
}

it('is refused to a second one, which is told of the first, and given back', async () => {
  const folder = newFolder('twice')
  const lock = await lockFolder(folder)
  await expect(lockFolder(folder)).rejects.toMatchObject({
    code: 'badRequest',
    message: expect.stringMatching(new RegExp(`^output: .*twice is in use by process ${process.pid} on `)),
    details: { folder, pid: process.pid },
  })
  lock.assertHeld()
  lock.release()
  expect(existsSync(lockOf(folder))).toBe(false)
  ;(await lockFolder(folder)).release()
})

it('is touched for as long as it is held', async () => {
  const folder = newFolder('touched')
  const lock = await lockFolder(folder)
  utimesSync(lockOf(folder), new Date(0), new Date(0))
  await eventually(() => expect(statSync(lockOf(folder)).mtimeMs).toBeGreaterThan(0))
  lock.assertHeld()
  lock.release()
})

describe('one that was left', () => {
  const said = () => {
    const texts: string[] = []
    return { texts, say: (text: string) => void texts.push(text) }
  }

  it('by a process that is gone is taken over', async () => {
    const folder = newFolder('gone')
    const pid = await endedPid()
    await leave(folder, { pid })
    const { texts, say } = said()
    ;(await lockFolder(folder, { say })).release()
    expect(texts).toEqual([
      expect.stringMatching(new RegExp(`process ${pid} on .* is gone.*gone is taken over`)),
    ])
  })

  it('by a process whose id is another’s now is taken over', async () => {
    if (process.platform === 'win32') return
    const folder = newFolder('another')
    await leave(folder, { processStart: 'another boot 123' })
    ;(await lockFolder(folder)).release()
  })

  it.each([
    ['by another host', { space: 'elsewhere', host: 'elsewhere' }],
    ['without a word', undefined],
  ])('%s is taken over once it is not touched any more', async (name, changes) => {
    const folder = newFolder(name)
    if (changes) await leave(folder, changes)
    else writeFileSync(lockOf(folder), '')
    const { texts, say } = said()
    ;(await lockFolder(folder, { say, untouchedMs: 300 })).release()
    expect(texts).toEqual([
      expect.stringMatching(/may be in use by .*: waiting for a sign/),
      expect.stringContaining('is taken over'),
    ])
  })

  it('by a process killed while it took one over does not keep others out', async () => {
    const folder = newFolder('turn')
    await leave(folder, { pid: await endedPid() })
    writeFileSync(`${lockOf(folder)}.turn`, '')
    utimesSync(`${lockOf(folder)}.turn`, new Date(0), new Date(0))
    ;(await lockFolder(folder)).release()
    expect(existsSync(`${lockOf(folder)}.turn`)).toBe(false)
  })
})

it('of another host, where the id is nobody’s here, is refused while it is touched', async () => {
  const folder = newFolder('elsewhere')
  const pid = await endedPid()
  await leave(folder, { pid, space: 'elsewhere', host: 'lab-pi' })
  const touching = setInterval(() => utimesSync(lockOf(folder), new Date(), new Date()), 100)
  const refused = lockFolder(folder)
  await expect(refused).rejects.toThrow(new RegExp(`elsewhere is in use by process ${pid} on lab-pi`))
  clearInterval(touching)
})

it('a signal ends the wait for a sign', async () => {
  const folder = newFolder('signalled')
  await leave(folder, { space: 'elsewhere' })
  const stop = new AbortController()
  const waiting = lockFolder(folder, { signal: stop.signal, say: () => stop.abort(new Error('stopped')) })
  await expect(waiting).rejects.toThrow('stopped')
})

it('that is another’s by now is neither held nor given back', async () => {
  const folder = newFolder('lost')
  const lock = await lockFolder(folder)
  const theirs = JSON.stringify({ ...ownerOf(folder), pid: 1 })
  writeFileSync(lockOf(folder), theirs)
  expect(() => lock.assertHeld()).toThrow(/lost is gone/)
  lock.release()
  expect(readFileSync(lockOf(folder), 'utf8')).toBe(theirs)
})

it('is one process’s at a time, however often it is left and taken over', async () => {
  const folder = newFolder('contended')
  const entry = fileURLToPath(new URL('entries/contending.ts', import.meta.url))
  const pid = String(await endedPid())
  const ran = await Promise.all(
    Array.from({ length: 4 }, () => runNode(['--import', 'tsx', entry, folder, '60', pid])),
  )
  for (const { code, stderr } of ran) expect(code, stderr).toBe(0)
  const lines = readFileSync(path.join(folder, 'work.log'), 'utf8').trimEnd().split('\n')
  expect(lines).toHaveLength(2 * 4 * 60)
  for (let at = 0; at < lines.length; at += 2)
    expect([lines[at], lines[at + 1]]).toEqual([
      expect.stringMatching(/^begins/),
      lines[at]?.replace('begins', 'ends'),
    ])
})
