/** Processes that are started again when they end by themselves. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ProcessGroup } from '../../../infra/start/processes/group.ts'
import { orGivenUp } from '../../../infra/start/processes/or-given-up.ts'
import type { RestartLimits, SupervisedProcess } from '../../../infra/start/processes/supervised.ts'
import { withFolder } from '../../support/folder.ts'
import { kill } from '../../support/kill.ts'
import { until } from '../../support/eventually.ts'
import { isAlive } from './support.ts'

const entry = new URL('./entries/service.ts', import.meta.url)
const AT_ONCE: RestartLimits = { firstMs: 1, maxMs: 4 }
const AN_HOUR_MS = 3_600_000

const folder = withFolder('supervised')
let said: string[] = []
const log = pino({ level: 'warn' }, { write: (line: string) => said.push(JSON.parse(line).msg as string) })
const groups: ProcessGroup[] = []
beforeEach(() => {
  said = []
})
afterEach(async () => {
  for (const group of groups.splice(0)) await group.stopAll()
})

function groupOf(limits: RestartLimits, logFile?: string): ProcessGroup {
  const group = new ProcessGroup(log, logFile, { limits })
  groups.push(group)
  return group
}

/** Kills it. @returns once another one is ready in its place. */
async function killed(process: SupervisedProcess): Promise<void> {
  const { pid } = process
  kill(process)
  await until(async () => process.pid !== pid && process.readyMessage !== undefined)
  expect(isAlive(pid)).toBe(false)
}

describe('a supervised process', () => {
  it('is started again as before, which the terminal and the log say', async () => {
    const logFile = path.join(folder(), 'services.log')
    const group = groupOf(AT_ONCE, logFile)
    const edge = await group.startSupervised({ name: 'edge', entry, args: ['plain'] })
    const { url } = edge
    await killed(edge)
    await killed(edge)
    expect(edge.url).toBe(url)
    expect(isAlive(edge.pid)).toBe(true)
    const again = /edge was ended by SIGKILL: it is started again in 0.00[12] s/
    expect(said.filter((text) => again.test(text))).toHaveLength(2)
    expect(said.filter((text) => text === 'edge runs again')).toHaveLength(2)
    const kept = () => readFileSync(logFile, 'utf8')
    await expect.poll(() => kept().match(/^edge \| behaviour: plain$/gm)).toHaveLength(3)
    expect(kept().match(/^scission \| edge was ended by SIGKILL/gm)).toHaveLength(2)
  })

  it('has the arguments of a restart where these differ', async () => {
    const restart = () => ({ args: () => ['ignores-sigterm'] })
    const logFile = path.join(folder(), 'again.log')
    const links = await groupOf(AT_ONCE, logFile).startSupervised(
      { name: 'links', entry, stopGraceMs: 1 },
      restart,
    )
    await killed(links)
    await expect
      .poll(() => readFileSync(logFile, 'utf8'))
      .toMatch(/behaviour: plain[^]*behaviour: ignores-sigterm/)
  })

  it('waits twice as long after each quick end, up to a limit, and is given up loudly after some', async () => {
    const group = groupOf({ ...AT_ONCE, quickEnds: 4 })
    const edge = await group.startSupervised({ name: 'edge', entry })
    const other = await group.startSupervised({ name: 'cloud', entry })
    for (let quickEnd = 0; quickEnd < 4; quickEnd += 1) await killed(edge)
    kill(edge)
    const { message } = await group.gaveUp
    expect(message).toMatch(
      /edge was ended by SIGKILL, 5 times in a row soon after its start: it is given up/,
    )
    const waits = said.flatMap((text) => /again in ([\d.]+) s/.exec(text)?.[1] ?? [])
    expect(waits).toEqual(['0.001', '0.002', '0.004', '0.004'])
    expect(said.at(-1)).toBe(message)
    expect(isAlive(edge.pid)).toBe(false)
    expect(isAlive(other.pid)).toBe(true)
  })

  it('that is given up ends the work that waits for it with the reason, and no other', async () => {
    const group = groupOf({ quickEnds: 0 })
    const edge = await group.startSupervised({ name: 'edge', entry })
    const waiting = orGivenUp(new Promise(() => undefined), group.gaveUp)
    expect(await orGivenUp(Promise.resolve('done'), group.gaveUp)).toBe('done')
    kill(edge)
    await expect(waiting).rejects.toThrow(/edge was ended by SIGKILL.*it is given up/)
  })

  it('that cannot be started again counts as one that ended quickly', async () => {
    const group = groupOf({ ...AT_ONCE, quickEnds: 2 })
    const restart = () => ({ args: () => ['crash-before-ready'] })
    const edge = await group.startSupervised({ name: 'edge', entry }, restart)
    kill(edge)
    const { message } = await group.gaveUp
    expect(message).toMatch(/edge ended with code 3, 3 times in a row/)
    expect(said.join('\n')).toMatch(
      /could not be started again: edge ended with code 3[^]*the reason it died/,
    )
  })

  it('that ran well is waited for as after its first end, however often it ends', async () => {
    const group = groupOf({ ...AT_ONCE, wellMs: 0, quickEnds: 1 })
    const edge = await group.startSupervised({ name: 'edge', entry })
    for (let end = 0; end < 3; end += 1) await killed(edge)
    expect(said.flatMap((text) => /again in ([\d.]+) s/.exec(text)?.[1] ?? [])).toEqual([
      '0.001',
      '0.001',
      '0.001',
    ])
  })

  it('is not started again by a stop, which also ends the wait for a restart at once', async () => {
    const group = groupOf({ firstMs: AN_HOUR_MS, maxMs: AN_HOUR_MS })
    const stopped = await group.startSupervised({ name: 'device', entry })
    const waiting = await group.startSupervised({ name: 'edge', entry })
    kill(waiting)
    await until(async () => said.includes('edge was ended by SIGKILL: it is started again in 3600 s'))
    await group.stopAll()
    expect(isAlive(stopped.pid)).toBe(false)
    expect(isAlive(waiting.pid)).toBe(false)
    expect(said.filter((text) => text.includes('device'))).toEqual([])
  })

  it('that is stopped while it starts again leaves nothing behind, and is no news', async () => {
    const group = groupOf(AT_ONCE)
    const restart = () => ({ args: () => ['silent'] })
    const edge = await group.startSupervised({ name: 'edge', entry }, restart)
    const { pid } = edge
    kill(edge)
    await until(async () => edge.pid !== pid)
    await group.stopAll()
    expect(isAlive(edge.pid)).toBe(false)
    expect(said.join('\n')).not.toMatch(/could not be started again/)
  })
})
