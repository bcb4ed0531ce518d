/** An executor for each test. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll } from 'vitest'
import {
  Executor,
  type ExecutorOptions,
  type LoadedStage,
  type Place,
} from '../../../services/inference/serving/executor/executor.ts'
import { manifestOf, type TinyModel, writeModel } from '../tiny-models.ts'

const options = { threads: 1, optimisation: 'all' } as const

/** For all tests of the file in which it is called. Each test starts its executor, which is closed after it. */
export function useExecutor() {
  let folder = ''
  let executor: Executor | undefined
  let files = 0
  beforeAll(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-executor-'))
  })
  afterEach(() => executor?.close())
  afterAll(() => fs.rmSync(folder, { recursive: true }))
  const started = () => {
    if (!executor) throw new Error('the test has not started an executor')
    return executor
  }
  return {
    get folder() {
      return folder
    },
    get executor() {
      return started()
    },
    start: (settings: Partial<ExecutorOptions> = {}): void => {
      executor = new Executor({ executors: 1, queueLimit: 64, ...settings })
    },
    loadModel: (
      model: TinyModel,
      passThrough: string[] = [],
      place: Place = 'shared threads',
    ): Promise<LoadedStage> => {
      const file = path.join(folder, `${files++}.onnx`)
      const own = (tensor: { name: string }) => !passThrough.includes(tensor.name)
      const used = (tensor: { name: string }) =>
        own(tensor) || model.nodes.some((node) => node.inputs.includes(tensor.name))
      writeModel(file, { ...model, inputs: model.inputs.filter(used), outputs: model.outputs.filter(own) })
      return started().load(file, { path: file, manifest: manifestOf(model, passThrough), options, place })
    },
  }
}
