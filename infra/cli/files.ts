/** Files that a command is given. */
import { readFile } from 'node:fs/promises'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'

/** @param option that named it. @throws ScissionError badRequest naming both. */
export async function readBytes(option: string, file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file))
  } catch (thrown) {
    throw new ScissionError('badRequest', `${option}: cannot read ${file}: ${coerceError(thrown).message}`)
  }
}

/** @param option that named it. @throws ScissionError badRequest naming both. */
export async function readJson(option: string, file: string): Promise<unknown> {
  const text = Buffer.from(await readBytes(option, file)).toString('utf8')
  try {
    return JSON.parse(text)
  } catch (thrown) {
    throw new ScissionError('badRequest', `${option}: ${file} is not JSON: ${coerceError(thrown).message}`)
  }
}
