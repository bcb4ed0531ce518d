/**
 * Reads model files without blocking the event loop: small ones, which take a few milliseconds, at once; large ones on a
 * thread. A tree ensemble has tens of megabytes besides its weights, and so have networks of tens of thousands of nodes.
 */
import fs from 'node:fs/promises'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { ModelDescription, StructureLimits } from '../../../shared/onnx/index.ts'
import type { RangeFile } from '../../../shared/onnx/structure/write-range.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import {
  type ModelFileResult,
  type ModelFileWork,
  type RangeToWrite,
  workOnModelFile,
} from './model-file-work.ts'

/** Read in at most some 10 ms; starting the thread takes longer. */
const MIN_THREAD_BYTES = 512 * 1024
const MAX_PIECES = 256
/** The thread keeps models split into their parts, for ranges that are requested in a row. */
const IDLE_MS = 60_000

export class ModelFiles {
  readonly #thread = new WorkThread<ModelFileWork, ModelFileResult>({
    entry: threadModule(new URL('./model-worker.ts', import.meta.url)),
    name: 'the thread that reads model files',
    maxPieces: MAX_PIECES,
    busy: (waiting) => `${waiting} requests wait for model files to be read; send this one again in a moment`,
    idleMs: IDLE_MS,
  })

  /** @throws ScissionError as describeModel; overloaded. */
  async describe(file: string, limits: StructureLimits): Promise<ModelDescription> {
    const result = await this.#run({ kind: 'describe', file, limits }, file)
    return result.kind === 'description' ? result.description : mixedUp(result)
  }

  /** @throws ScissionError as writeRange; overloaded. */
  async writeRange(range: RangeToWrite): Promise<RangeFile> {
    const result = await this.#run({ kind: 'write', range }, range.canonical)
    return result.kind === 'written' ? result.range : mixedUp(result)
  }

  /** Tells whether all bytes that a sub-model refers to are in these chunks. */
  async isListed(file: string, weights: RangeManifest['weights']): Promise<boolean> {
    const result = await this.#run({ kind: 'check', file, weights }, file)
    return result.kind === 'checked' ? result.isListed : mixedUp(result)
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }

  async #run(work: ModelFileWork, file: string): Promise<ModelFileResult> {
    const { size } = await fs.stat(file)
    return size < MIN_THREAD_BYTES ? workOnModelFile(work) : this.#thread.run(work)
  }
}

function mixedUp({ kind }: ModelFileResult): never {
  throw new ScissionError('internal', `the thread that reads model files answered with "${kind}"`)
}
