/** ONNX Runtime's own objects, for names that every object seems to have. */
import os from 'node:os'
import path from 'node:path'
import { mkdtempSync, rmSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { Executor } from '../../../services/inference/serving/executor/executor.ts'
import { floats, fp32, manifestOf, spec, type TinyModel, writeModel } from '../tiny-models.ts'

const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-names-'))
const executor = new Executor({ executors: 1, queueLimit: 8, overrunMs: 60_000 })
afterAll(async () => {
  await executor.close()
  rmSync(folder, { recursive: true })
})

describe('a run', () => {
  it.each(['__proto__', 'constructor', 'toString'])('takes an input called %s', async (name) => {
    const model: TinyModel = {
      inputs: [spec(name, 'FP32', [2])],
      outputs: [spec('y', 'FP32', [2])],
      nodes: [{ op: 'Add', inputs: [name, name], outputs: ['y'] }],
    }
    const file = path.join(folder, `${name}.onnx`)
    writeModel(file, model)
    const options = { threads: 1, optimisation: 'all' } as const
    const stage = await executor.load(file, { path: file, manifest: manifestOf(model), options })
    const { outputs } = await executor.run(stage, [fp32(name, [2], [1, 2])], {})
    expect(floats(outputs[0])).toEqual([2, 4])
  })
})
