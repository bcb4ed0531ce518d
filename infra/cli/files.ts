/** Reads files that command-line options name. */
import { access, constants, readFile } from 'node:fs/promises'
import type { TensorSpec } from '../../shared/contracts/common.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'

/** @param option the option that named the file. @throws ScissionError badRequest, which names the option and the file. */
export async function readBytes(option: string, file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file))
  } catch (thrown) {
    throw new ScissionError('badRequest', `${option}: cannot read ${file}: ${coerceError(thrown).message}`)
  }
}

/** @param option the option that named the files. @throws ScissionError badRequest for the first that cannot be read. */
export async function checkReadable(option: string, files: readonly string[] = []): Promise<void> {
  for (const file of files) {
    await access(file, constants.R_OK).catch((thrown: unknown) => {
      throw new ScissionError('badRequest', `${option}: cannot read ${file}: ${coerceError(thrown).message}`)
    })
  }
}

/** @param option the option that named the file. @throws ScissionError badRequest, which names the option and the file. */
export async function readJson(option: string, file: string): Promise<unknown> {
  const text = Buffer.from(await readBytes(option, file)).toString('utf8')
  try {
    return JSON.parse(text)
  } catch (thrown) {
    throw new ScissionError('badRequest', `${option}: ${file} is not JSON: ${coerceError(thrown).message}`)
  }
}

/**
 * The value of one `--input name=file`.
 * @param specs the inputs of the model.
 * @throws ScissionError badRequest if the value has another form, invalidTensor if the model has no such input.
 */
export function inputFile(text: string, specs: readonly TensorSpec[]): { spec: TensorSpec; file: string } {
  const equals = text.indexOf('=')
  if (equals < 1) throw new ScissionError('badRequest', `--input must be name=file, got: ${text}`)
  const name = text.slice(0, equals)
  const spec = specs.find((one) => one.name === name)
  if (spec) return { spec, file: text.slice(equals + 1) }
  const known = specs.map((one) => one.name).join(', ')
  throw new ScissionError('invalidTensor', `unknown input "${name}"; known: ${known}`)
}
