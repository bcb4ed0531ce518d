/** A system as `npm start` leaves it to its user: the default testbed, with MobileNetV2 uploaded and measured. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { startSystem, type System } from '../../infra/start/system.ts'
import { uploadFiles } from '../../infra/steps/upload-model.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createLog } from '../../shared/platform/log.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { measured } from './measured.ts'
import { linksMeasured } from './system.ts'

const MODEL = 'mobilenetv2'

export interface StartedSystem {
  readonly system: System
  /** For the test's own files; it goes with the system. */
  readonly folder: string
  /** Uploads and measures the model if a test has deleted it. */
  haveModelMeasured: () => Promise<void>
}

/** One system for all tests of the file or group it is called in. */
export function withStartedSystem(): StartedSystem {
  let folder = ''
  let system: System | undefined
  const started = () => {
    if (!system) throw new Error('the system is not started yet')
    return system
  }
  async function haveModelMeasured(): Promise<void> {
    const file = path.join(folder, `${MODEL}.onnx`)
    if (!existsSync(file)) await buildZooModel(MODEL, file, { seed: 1 })
    // Not on machines that a page has added.
    const resources = started().resources.map(({ name }) => name)
    const benchmark = createBenchmarkClient(started().benchmarkUrl)
    await uploadFiles(benchmark, file, { name: MODEL, inputShapes: undefined })
    await measured(benchmark, { model: MODEL, resources })
  }
  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'scission-docs-'))
    system = await startSystem({
      testbed: undefined,
      network: undefined,
      portBase: 0,
      dataDir: path.join(folder, 'data'),
      log: createLog('test', 'error'),
    })
    await linksMeasured(system)
    await haveModelMeasured()
  })
  afterAll(async () => {
    await system?.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    haveModelMeasured,
    get system() {
      return started()
    },
    get folder() {
      return folder
    },
  }
}
