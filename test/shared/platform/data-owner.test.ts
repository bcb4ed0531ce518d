/** A data folder that a service uses is not another one's, unless both are replicas of one system. */
import { spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { ManagedProcess } from '../../../infra/start/processes/process.ts'
import { useDataFolder } from '../../../shared/platform/service/data-owner.ts'
import { PROCESS_SPACE } from '../../../shared/platform/processes/process-identity.ts'
import { withFolder } from '../../support/folder.ts'
import { kill } from '../../support/kill.ts'
import { withTestRedis } from '../../support/redis.ts'
import { startServiceProcess } from '../../support/service-process.ts'

const folder = withFolder('data-owner')
const redis = withTestRedis()
const dataOf = (name: string) => path.join(folder(), name)
const notesIn = (dataDir: string) => readdirSync(path.join(dataDir, '.in-use'))
const EDGE = { service: 'inference edge' }

describe('a data folder', () => {
  it('of an inference service is its own until it has ended', () => {
    const dataDir = dataOf('alone')
    const leave = useDataFolder(dataDir, EDGE)
    const refused = new RegExp(
      `${dataDir} is in use by another inference edge service, process ${process.pid} since .*SCISSION_RESOURCE.*SCISSION_DATA`,
    )
    expect(() => useDataFolder(dataDir, EDGE)).toThrow(refused)
    expect(notesIn(dataDir)).toHaveLength(1)
    // Another machine's folder in it is another one.
    useDataFolder(dataDir, { service: 'inference cloud' })()
    leave()
    useDataFolder(dataDir, EDGE)()
    expect(notesIn(dataDir)).toEqual([])
  })

  it('of a benchmark service is shared by replicas with the same Redis, and by no other', () => {
    const dataDir = dataOf('replicas')
    const replica = { service: 'benchmark', system: 'redis://:***@a:6379' }
    const leave = [useDataFolder(dataDir, replica), useDataFolder(dataDir, replica)]
    const other = { service: 'benchmark', system: 'redis://b:6379' }
    expect(() => useDataFolder(dataDir, other)).toThrow(
      /same REDIS_URL: that one has .*a:6379, this one redis:\/\/b:6379/,
    )
    leave.pop()?.()
    expect(() => useDataFolder(dataDir, other)).toThrow(/in use/)
    leave.pop()?.()
    useDataFolder(dataDir, other)()
  })

  it('is free again after a crash, and where a note tells nothing of a process here', () => {
    const dataDir = dataOf('left')
    useDataFolder(dataDir, EDGE)()
    const write = (name: string, note: object | string) =>
      writeFileSync(
        path.join(dataDir, '.in-use', name),
        typeof note === 'string' ? note : JSON.stringify(note),
      )
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    const note = { ...EDGE, processStart: '', space: PROCESS_SPACE, startedAt: new Date().toISOString() }
    write('crashed.json', { ...note, pid: dead })
    write('elsewhere.json', { ...note, pid: process.pid, space: 'another container' })
    write('torn.json', '{"pid":')
    useDataFolder(dataDir, EDGE)()
    expect(notesIn(dataDir).sort()).toEqual(['elsewhere.json', 'torn.json'])
  })
})

describe('services', () => {
  const processes: ManagedProcess[] = []
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.stop()))
  })
  const start = async (service: 'benchmark' | 'inference', dataDir: string, redisUrl: string, port = 0) => {
    const env = {
      SCISSION_DATA: dataDir,
      REDIS_URL: redisUrl,
      SCISSION_RESOURCE: 'edge',
      SCISSION_PORT: String(port),
    }
    const started = await startServiceProcess(service, env)
    processes.push(started)
    return started
  }
  const NO_REDIS = 'redis://:hidden@127.0.0.1:9'

  it('are refused the folder of another system, without its password, and get it once that has crashed', async () => {
    for (const service of ['benchmark', 'inference'] as const) {
      const dataDir = dataOf(`of-${service}`)
      const first = await start(service, dataDir, redis().url)
      const { password } = new URL(redis().url)
      const second = start(service, dataDir, NO_REDIS)
      await expect(second).rejects.toThrow(
        new RegExp(`ended with code 1[^]*in use by another ${service}.*process ${first.pid}`),
      )
      await expect(second).rejects.not.toThrow(new RegExp(`${password}|hidden@`))
      kill(first)
      await first.exited
      await start(service, dataDir, NO_REDIS)
    }
  })

  it('of benchmarks may be replicas on one folder', async () => {
    const dataDir = dataOf('two-replicas')
    await start('benchmark', dataDir, redis().url)
    await start('benchmark', dataDir, redis().url)
    expect(notesIn(dataDir)).toHaveLength(2)
  })
})
