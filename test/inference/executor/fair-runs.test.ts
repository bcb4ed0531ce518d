/** Several clients at one executor: each has its turn and its place, however much another one asks for. */
import { describe, expect, it } from 'vitest'
import type { LoadedStage, RunOptions } from '../../../services/inference/serving/executor/executor.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { until } from '../../support/eventually.ts'
import { floats } from '../tiny-models.ts'
import { useExecutor } from './executor-of-tiny-models.ts'
import { doubling, ENDLESS, looping, matrix, slow, three, turns } from './tiny-model-examples.ts'

const used = useExecutor()

/** Runs of which each says when it was done. */
function recorder() {
  const done: string[] = []
  const run = async (stage: LoadedStage, client: string | undefined, options: RunOptions = {}) => {
    try {
      await used.executor.run(stage, [stage.manifest.inputs[0]?.name === 'x' ? three() : matrix()], {
        client,
        ...options,
      })
      done.push(client ?? 'own')
    } catch (thrown) {
      const error = coerceError(thrown)
      done.push(`${client ?? 'own'} ${error instanceof ScissionError ? error.code : error.message}`)
    }
  }
  return { done, run }
}
const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

describe('runs on a thread', () => {
  it('are done for each client in turn: one run under way, and one at the thread, are before', async () => {
    used.start()
    const stage = await used.loadModel(slow)
    const { done, run } = recorder()
    const many = times(12, () => run(stage, 'many'))
    await Promise.all([...many, ...times(2, () => run(stage, 'few')), run(stage, undefined)])
    expect(done.slice(0, 7)).toEqual(['many', 'many', 'few', 'many', 'own', 'few', 'many'])
    expect(done.slice(7)).toEqual(times(8, () => 'many'))
  })

  it('have places for another client although one has taken all', async () => {
    used.start({ queueLimit: 4 })
    const stage = await used.loadModel(slow)
    const { done, run } = recorder()
    const many = times(5, () => run(stage, 'many'))
    const few = times(2, () => run(stage, 'few'))
    // Two of each wait now: one more of this client would be the most that anybody has.
    await Promise.all([...many, ...few, run(stage, 'few')])
    const refused = done.filter((one) => one.includes(' '))
    expect(refused.toSorted()).toEqual(['few overloaded', ...times(2, () => 'many tooManyRequests')])
    expect(done.filter((one) => one === 'few')).toHaveLength(2)
    expect(done.filter((one) => one === 'many')).toHaveLength(3)
  })

  it('find their session before it is unloaded, also where another client’s are taken first', async () => {
    used.start()
    const [stage, other] = [await used.loadModel(slow), await used.loadModel(doubling)]
    const { done, run } = recorder()
    const runs = times(6, () => run(stage, 'many'))
    const unloading = used.executor.unload(stage).then(() => done.push('unloaded'))
    await Promise.all([...runs, unloading, ...times(3, () => run(other, 'few'))])
    expect(done.toSorted()).toEqual([...times(3, () => 'few'), ...times(6, () => 'many'), 'unloaded'])
    expect(done.lastIndexOf('many')).toBeLessThan(done.indexOf('unloaded'))
    expect(done.indexOf('few')).toBeLessThan(4)
    expect(used.executor.stats()).toMatchObject({ threads: [{ stages: 1, queued: 0 }] })
  })
})

describe('runs in processes', () => {
  it('of one client leave a process to another, whatever it asks for', async () => {
    used.start({ queueLimit: 4 })
    const stage = await used.loadModel(looping, [], 'processes')
    const leaving = new AbortController()
    const { signal } = leaving
    const run = () => used.executor.run(stage, turns(ENDLESS), { client: 'many', signal }).catch(coerceError)
    const statsOf = () => used.executor.stats().processes[0]
    const endless = times(2, run)
    await until(async () => statsOf()?.pids.length === 2 && statsOf()?.queued === 0)
    endless.push(...times(4, run))
    expect(statsOf()).toMatchObject({ queued: 4, stages: 2 })
    const { outputs } = await used.executor.run(stage, turns(3n), { client: 'few' })
    expect(floats(outputs[0])).toEqual([8])
    // The place that it needed was given back.
    expect(await endless[5]).toMatchObject({ code: 'tooManyRequests' })
    leaving.abort()
    await Promise.all(endless)
  })
})
