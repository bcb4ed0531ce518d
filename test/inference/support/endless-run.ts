/**
 * A process whose one executor thread was given a run without end: a Loop of 10^15 turns, which its input asks for. It reports
 * that it is ready once another run behind it was answered.
 */
import fs from 'node:fs'
import path from 'node:path'
import { Executor } from '../../../services/inference/serving/executor/executor.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { runService } from '../../../shared/platform/service/run-service.ts'
import { doubling, ENDLESS, looping, three, turns } from '../executor/tiny-model-examples.ts'
import { manifestOf, type TinyModel, writeModel } from '../tiny-models.ts'

runService(createLog('endless', 'silent'), async () => {
  const folder = process.env['TEST_FOLDER'] ?? ''
  const executor = new Executor({ executors: 1, queueLimit: 8, overrunMs: 200 })
  const load = (name: string, model: TinyModel) => {
    const file = path.join(folder, `${name}.onnx`)
    writeModel(file, model)
    const options = { threads: 1, optimisation: 'all' } as const
    return executor.load(file, { path: file, manifest: manifestOf(model), options })
  }
  const [long, short] = [await load('endless', looping), await load('doubling', doubling)]
  const outcome = await executor
    .run(long, turns(ENDLESS), { deadline: performance.now() + 300 })
    .catch(coerceError)
  if (!(outcome instanceof ScissionError) || outcome.code !== 'deadlineExceeded')
    throw new Error(`the endless run was not given up: ${JSON.stringify(outcome)}`)
  // The one that is posted behind it is refused, and may be sent again.
  const behind = await executor.run(short, [three()]).catch(coerceError)
  if (!(behind instanceof ScissionError) || behind.code !== 'overloaded')
    throw new Error(`the run behind the endless one was not refused: ${JSON.stringify(behind)}`)
  await executor.run(short, [three()])
  fs.writeFileSync(path.join(folder, 'restarts'), String(executor.stats().threads[0]?.restarts))
  return { url: 'http://127.0.0.1:1', socket: '127.0.0.1:1', close: () => executor.close() }
})
