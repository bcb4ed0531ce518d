import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { nodeArguments } from '../../../infra/start/processes/entry.ts'
import { ProcessGroup } from '../../../infra/start/processes/group.ts'
import { ManagedProcess, startProcess } from '../../../infra/start/processes/process.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { isAlive } from './support.ts'
import { kill } from '../../support/kill.ts'
import { withFolder } from '../../support/folder.ts'

const log = createLog('test', 'silent')
const entry = new URL('./entries/service.ts', import.meta.url)
const gone = (pid: number | undefined) => expect.poll(() => isAlive(pid)).toBe(false)

const folder = withFolder('processes')

describe('a started process', () => {
  it('is ready when it says so, prints to the log file by name, and is gone when stopped', async () => {
    const logFile = path.join(folder(), 'logs', 'services.log')
    const service = await startProcess({ name: 'planner', entry, args: ['plain'], log, logFile })
    expect(service.url).toBe('http://127.0.0.1:1')
    expect(isAlive(service.pid)).toBe(true)

    const exit = await service.stop()
    expect(exit).toMatchObject({ expected: true })
    expect(isAlive(service.pid)).toBe(false)
    await expect.poll(() => readFileSync(logFile, 'utf8')).toBe('planner | behaviour: plain\n')
    // Again is harmless.
    await service.stop()
  })

  it('gets the environment it is given beside our own', async () => {
    const service = await startProcess({ name: 'x', entry, env: { NODE_OPTIONS: '--no-warnings' }, log })
    await service.stop()
    const failing = startProcess({ name: 'x', entry, env: { NODE_OPTIONS: '--no-such-option' }, log })
    await expect(failing).rejects.toThrow(/--no-such-option/)
  })

  it('that ends before it is ready is an error with its code and last lines', async () => {
    const starting = startProcess({ name: 'edge', entry, args: ['crash-before-ready'], log })
    await expect(starting).rejects.toThrow(
      /edge ended with code 3 before it was ready[\s\S]*the reason it died/,
    )
  })

  it('that stays silent is stopped and is an error', async () => {
    const silent = new ManagedProcess({ name: 'edge', entry, args: ['silent'], log, readyTimeoutMs: 1500 })
    await expect(silent.whenReady()).rejects.toThrow(/edge was not ready after 1500 ms/)
    expect(isAlive(silent.pid)).toBe(false)
  })

  it('that crashes later is reported once, with its last lines', async () => {
    const said: string[] = []
    const log = pino({ level: 'error' }, { write: (line: string) => said.push(line) })
    const service = await startProcess({ name: 'edge', entry, args: ['crash-when-told'], log })
    service.send({ crash: true })
    const exit = await service.exited
    expect(said).toEqual([expect.stringMatching(/edge ended with code 1; its last lines:.*as told/)])
    expect(exit).toMatchObject({ code: 1, expected: false })
    expect(exit.lastLines.join('\n')).toMatch(/told to crash[\s\S]*as told/)
  })

  it('that ignores SIGTERM is killed after the grace', async () => {
    const args = ['ignores-sigterm']
    const service = await startProcess({ name: 'edge', entry, args, log, stopGraceMs: 3000 })
    const exit = await service.stop()
    expect(exit).toMatchObject({ signal: 'SIGKILL', expected: true })
    expect(exit.lastLines).toContain('SIGTERM ignored')
  })

  it.skipIf(process.platform === 'win32')('takes with it what it started itself', async () => {
    const service = new ManagedProcess({ name: 'edge', entry, args: ['has-a-child'], log })
    let grandchild = 0
    service.onMessage((message) => {
      const told = z.object({ grandchild: z.number() }).safeParse(message)
      if (told.success) grandchild = told.data.grandchild
    })
    await service.whenReady()
    expect(isAlive(grandchild)).toBe(true)
    kill(service)
    await service.exited
    await gone(grandchild)
  })
})

describe('a group of processes', () => {
  it('is stopped in reverse order, all of it', async () => {
    const group = new ProcessGroup(log)
    const stopped: string[] = []
    group.add({ name: 'redis', stop: async () => stopped.push('redis') })
    const started = [
      await group.start({ name: 'planner', entry, args: ['reports-order'] }),
      await group.start({ name: 'device', entry, args: ['reports-order'] }),
    ]
    for (const { name, exited } of started) void exited.then(() => stopped.push(name))
    await group.stopAll()
    expect(stopped).toEqual(['device', 'planner', 'redis'])
    for (const { pid } of started) expect(isAlive(pid)).toBe(false)
  })

  it('stops what is still starting, and starts nothing more', async () => {
    const group = new ProcessGroup(log)
    const starting = group.start({ name: 'slow', entry, args: ['silent'] })
    const failed = expect(starting).rejects.toThrow(/slow was ended by SIGTERM before it was ready/)
    await group.stopAll()
    await failed
    await expect(group.start({ name: 'late', entry })).rejects.toThrow(/late is not started/)
  })

  it('stops the rest when one cannot be stopped', async () => {
    const group = new ProcessGroup(log)
    const service = await group.start({ name: 'device', entry })
    group.add({ name: 'stubborn', stop: () => Promise.reject(new Error('no')) })
    await group.stopAll()
    expect(isAlive(service.pid)).toBe(false)
  })

  it('leaves nothing behind when its parent is killed with SIGKILL', async () => {
    const parent = spawn(process.execPath, nodeArguments(new URL('./entries/parent.ts', import.meta.url)), {
      cwd: fileURLToPath(new URL('../../..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string]
    const pids = z.array(z.number()).parse(JSON.parse(line))
    expect(pids).toHaveLength(3)
    for (const pid of pids) expect(isAlive(pid)).toBe(true)
    parent.kill('SIGKILL')
    for (const pid of pids) await gone(pid)
  })
})
