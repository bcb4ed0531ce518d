/** Reads files that command-line options name. */
import { readFile } from 'node:fs/promises'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'

/** @param option the option that named the file. @throws ScissionError badRequest, which names the option and the file. */
export async function readBytes(option: string, file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file))
  } catch (thrown) {
    throw new ScissionError('badRequest', `${option}: cannot read ${file}: ${coerceError(thrown).message}`)
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
