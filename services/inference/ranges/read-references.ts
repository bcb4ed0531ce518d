/**
 * Reads what a sub-model refers to without blocking the event loop: of a small file at once, of a large one, which may have
 * tens of megabytes of attributes, on a thread.
 */
import fs from 'node:fs'
import { type ExternalExtent, externalExtents } from '../../../shared/onnx/wire/external-extents.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'

/** Read in a few milliseconds; starting the thread takes longer. */
const MIN_THREAD_BYTES = 512 * 1024
const MAX_PIECES = 256
const IDLE_MS = 10_000

export class ReferenceReader {
  readonly #thread = new WorkThread<string, ExternalExtent[]>({
    entry: threadModule(new URL('./references-worker.ts', import.meta.url)),
    name: 'the thread that reads sub-models',
    maxPieces: MAX_PIECES,
    busy: (waiting) => `${waiting} layer ranges wait to be checked; load this one again in a moment`,
    idleMs: IDLE_MS,
  })

  /** @throws ScissionError invalidModel if the file is no model; overloaded. */
  async read(file: string): Promise<ExternalExtent[]> {
    const { size } = await fs.promises.stat(file)
    return size < MIN_THREAD_BYTES ? referencesIn(file) : this.#thread.run(file)
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}

/** @throws ScissionError invalidModel if the file is no model. */
export function referencesIn(file: string): ExternalExtent[] {
  const subModel = fs.readFileSync(file)
  try {
    return externalExtents(subModel)
  } catch (thrown) {
    const { message } = coerceError(thrown)
    throw new ScissionError(
      'invalidModel',
      `${file} is not an ONNX model: ${message}`,
      { path: file },
      thrown,
    )
  }
}
