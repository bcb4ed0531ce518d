import { describe, expect, it } from 'vitest'
import { cpuTimer } from '../../../services/inference/serving/executor/cpu-time.ts'

/** Computes for about half a millisecond. */
function work(): number {
  let sum = 0
  for (let index = 0; index < 500_000; index += 1) sum += index * index
  return sum
}

/** @returns the milliseconds of CPU time that each of 200 short pieces of work took by the timer. */
function timesOf(threads: number): number[] {
  const timer = cpuTimer(threads)
  return Array.from({ length: 200 }, () => {
    const since = timer()
    work()
    return since()
  })
}

describe.each([1, 2])('CPU time for sessions of %d threads', (threads) => {
  it('is exact for work that is shorter than a tick of the kernel', () => {
    work()
    const before = process.cpuUsage()
    const times = timesOf(threads)
    const { user, system } = process.cpuUsage(before)
    expect(times.filter((ms) => ms <= 0)).toEqual([])
    const sum = times.reduce((total, ms) => total + ms, 0)
    // Threads of the runtime and the clock itself are in the second figure as well.
    expect(sum).toBeLessThanOrEqual((user + system) / 1000)
    expect(sum).toBeGreaterThan((user + system) / 1000 / 4)
  })
})
