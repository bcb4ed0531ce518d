/** Uploads a model file from this machine, together with the external data files that it refers to. */
import path from 'node:path'
import type { BenchmarkClient, UploadedModel } from '../../shared/client/benchmark.ts'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { describeModel, type ModelDescription } from '../../shared/onnx/index.ts'

/**
 * The file's name in the form that the registry accepts; that of its folder for one that is called `model.onnx`, as in
 * repositories of models.
 */
export function nameOfFile(file: string): string {
  const own = path.basename(file, '.onnx')
  const base = own === 'model' ? path.basename(path.dirname(path.resolve(file))) : own
  return (
    base
      .replaceAll(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '')
      .slice(0, 100) || 'model'
  )
}

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
