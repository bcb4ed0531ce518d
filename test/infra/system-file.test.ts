/** The file that says where a running system is, and that only one system has a port base and its data. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { claimSystem, runningSystems, SystemRecord } from '../../infra/start/system-file.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('system-file')

const FOUND = {
  redis: { kind: 'private' as const, url: 'redis://:secret@127.0.0.1:20000' },
  services: { benchmark: 'http://127.0.0.1:9001', planner: 'http://127.0.0.1:9002', resources: {} },
}

describe('the claim on a port base', () => {
  it('says where the system is while it runs, to its owner alone, and nothing after a clean stop', async () => {
    const root = path.join(folder(), 'clean')
    const claim = claimSystem(root, 9000)
    const file = path.join(root, 'systems', '9000.json')
    expect(runningSystems(root)).toMatchObject([{ portBase: 9000, pid: process.pid, state: 'starting' }])
    await claim.running(FOUND)
    const record = SystemRecord.parse(JSON.parse(readFileSync(file, 'utf8')))
    expect(record).toMatchObject({ ...FOUND, state: 'running', dataDir: path.join(root, 'port-base-9000') })
    expect(runningSystems(root)).toEqual([record])
    if (process.platform !== 'win32') expect(statSync(file).mode & 0o777).toBe(0o600)
    claim.release()
    expect(existsSync(file)).toBe(false)
    expect(runningSystems(root)).toEqual([])
  })

  it('is refused to a second system, which is told of the first and what to do', async () => {
    const root = path.join(folder(), 'twice')
    const claim = claimSystem(root, 9000)
    await claim.running(FOUND)
    expect(() => claimSystem(root, 9000)).toThrow(
      new RegExp(`port-base 9000.*process ${process.pid}, running.*127.0.0.1:9001.*another --port-base`),
    )
    const other = claimSystem(root, 9100)
    expect(runningSystems(root).map(({ portBase }) => portBase)).toEqual([9000, 9100])
    other.release()
    claim.release()
    claimSystem(root, 9000).release()
  })

  it('keeps the data of the default port base where it was, and gives every other one a folder', () => {
    const root = path.join(folder(), 'data')
    const [first, other, free] = [8080, 9000, 0].map((portBase) => claimSystem(root, portBase))
    expect(first?.dataDir).toBe(root)
    expect(other?.dataDir).toBe(path.join(root, 'port-base-9000'))
    expect(free?.dataDir).toBe(path.join(root, 'port-base-0'))
    for (const claim of [first, other, free]) claim?.release()
  })
})

describe('a file that a crash left', () => {
  const write = (root: string, content: string) => {
    mkdirSync(path.join(root, 'systems'), { recursive: true })
    writeFileSync(path.join(root, 'systems', '9000.json'), content)
  }
  const recordOf = (pid: number, processStart: string, root: string) =>
    JSON.stringify({
      portBase: 9000,
      pid,
      processStart,
      state: 'running',
      dataDir: root,
      startedAt: '2026-01-01T00:00:00.000Z',
    })

  it('is no running system if its process is gone', async () => {
    const root = path.join(folder(), 'gone')
    const child = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => child.once('exit', resolve))
    write(root, recordOf(child.pid ?? 0, '', root))
    expect(runningSystems(root)).toEqual([])
    claimSystem(root, 9000).release()
  })

  it('is no running system if another process has its id now', () => {
    if (process.platform === 'win32') return
    const root = path.join(folder(), 'other')
    write(root, recordOf(process.pid, 'another boot 123', root))
    expect(runningSystems(root)).toEqual([])
    const claim = claimSystem(root, 9000)
    expect(runningSystems(root)).toHaveLength(1)
    claim.release()
  })

  it('that is damaged is not listed; one that is being written is left alone', () => {
    const root = path.join(folder(), 'damaged')
    write(root, '')
    expect(runningSystems(root)).toEqual([])
    expect(() => claimSystem(root, 9000)).toThrow(/port-base 9000.*9000\.json/)
  })
})
