/**
 * A process whose one executor thread is given runs without end, one after another: Loops of 10^15 turns, which their inputs ask
 * for. It reports that it is ready, and writes what others heard, once runs behind them were answered.
 */
import fs from 'node:fs'
import path from 'node:path'
import { Executor, type RunOptions } from '../../../services/inference/serving/executor/executor.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { runService } from '../../../shared/platform/service/run-service.ts'
import { doubling, ENDLESS, looping, three, turns } from '../executor/tiny-model-examples.ts'
import { manifestOf, type TinyModel, writeModel } from '../tiny-models.ts'

/** Long against the deadline of a run that is to wait for it. */
const OVERRUN_MS = 3000

runService(createLog('endless', 'silent'), async () => {
  const folder = process.env['TEST_FOLDER'] ?? ''
  const executor = new Executor({ executors: 1, queueLimit: 8, overrunMs: OVERRUN_MS })
  const load = (name: string, model: TinyModel) => {
    const file = path.join(folder, `${name}.onnx`)
    writeModel(file, model)
    const options = { threads: 1, optimisation: 'all' } as const
    return executor.load(file, { path: file, manifest: manifestOf(model), options })
  }
  const [long, short] = [await load('endless', looping), await load('doubling', doubling)]
  const behind: string[] = []
  const isThere = async (options: RunOptions = {}) => {
    const outcome = await executor.run(short, [three()], options).catch(coerceError)
    if (!(outcome instanceof Error)) return true
    behind.push(outcome instanceof ScissionError ? `${outcome.code} ${outcome.message}` : outcome.message)
    return false
  }
  for (let count = 0; count < 3; count += 1) {
    // A thread that is new loads its session first, and skips a run that is given up before it begins.
    await executor.run(long, turns(1n))
    const deadline = performance.now() + 1000
    const outcome = await executor.run(long, turns(ENDLESS), { deadline }).catch(coerceError)
    if (!(outcome instanceof ScissionError) || outcome.code !== 'deadlineExceeded')
      throw new Error(`the endless run was not given up: ${JSON.stringify(outcome)}`)
    if (count === 0) await isThere({ deadline: performance.now() + 20 })
    const wasAnswered = await isThere()
    // Only what had been sent to the thread is lost with it: here the one before, which was given up.
    if (wasAnswered !== (count === 0)) throw new Error(`behind run ${count}: ${behind.join('; ')}`)
  }
  await isThere()
  const { restarts } = executor.stats().threads[0] ?? {}
  fs.writeFileSync(path.join(folder, 'heard.json'), JSON.stringify({ restarts, behind }))
  return {
    url: 'http://127.0.0.1:1',
    socket: '127.0.0.1:1',
    close: () => executor.close(),
    hung: () => executor.hung,
  }
})
