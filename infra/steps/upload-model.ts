/** Uploads a model file from this machine, together with the external data files that it refers to. */
import path from 'node:path'
import type { BenchmarkClient, UploadedModel } from '../../shared/client/benchmark.ts'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { describeModel, type ModelDescription } from '../../shared/onnx/index.ts'

export async function uploadFiles(
  benchmark: BenchmarkClient,
  file: string,
  options: { name: string; inputShapes?: InputShapes | undefined; samples?: readonly string[] | undefined },
): Promise<UploadedModel> {
  const { externalFiles } = await describeLocal(file)
  const folder = path.dirname(file)
  const externalData = externalFiles.map((location) => ({ location, file: path.join(folder, location) }))
  const { inputShapes, samples = [] } = options
  return benchmark.uploadModel(file, options.name, { inputShapes, externalData, samples })
}

/** Describes the file as the service would; errors name the file on this machine. */
async function describeLocal(file: string): Promise<ModelDescription> {
  try {
    return await describeModel(file)
  } catch (thrown) {
    if (thrown instanceof ScissionError)
      throw new ScissionError(thrown.code, `${file}: ${thrown.message}`, thrown.details, thrown)
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') {
      throw new ScissionError('badRequest', `${file}: there is no such file`, undefined, thrown)
    }
    throw thrown
  }
}
