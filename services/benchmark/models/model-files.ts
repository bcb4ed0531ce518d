/**
 * Reads model files without blocking the event loop: small ones, which take a few milliseconds, at once; large ones on
 * threads. A tree ensemble has tens of megabytes besides its weights, and so have networks of tens of thousands of nodes.
 */
import fs from 'node:fs/promises'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { ModelDescription, StructureLimits } from '../../../shared/onnx/index.ts'
import type { RangeFile } from '../../../shared/onnx/structure/write-range.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { FairThreads } from '../../../shared/platform/threads/fair-threads.ts'
import {
  type ModelFileResult,
  type ModelFileWork,
  type RangeToWrite,
  workOnModelFile,
} from './model-file-work.ts'

/** Read in at most some 10 ms; starting the thread takes longer. */
const MIN_THREAD_BYTES = 512 * 1024
const WAITING = { waiting: 256, waitingOfClient: 64 }
/** A thread keeps models split into their parts, for ranges that are requested in a row. */
const IDLE_MS = 60_000

export class ModelFiles {
  readonly #threads = new FairThreads<ModelFileWork, ModelFileResult>({
    entry: threadModule(new URL('./model-worker.ts', import.meta.url)),
    name: 'the thread that reads model files',
    what: 'requests that read model files',
    ...WAITING,
    idleMs: IDLE_MS,
  })

  /** @throws ScissionError as describeModel; tooManyRequests, overloaded. */
  async describe(file: string, limits: StructureLimits, asker: Asker): Promise<ModelDescription> {
    const result = await this.#run({ kind: 'describe', file, limits }, file, asker)
    return result.kind === 'description' ? result.description : mixedUp(result)
  }

  /** @throws ScissionError as writeRange; tooManyRequests, overloaded. */
  async writeRange(range: RangeToWrite, asker: Asker): Promise<RangeFile> {
    const result = await this.#run({ kind: 'write', range }, range.canonical, asker)
    return result.kind === 'written' ? result.range : mixedUp(result)
  }

  /** Tells whether all bytes that a sub-model refers to are in these chunks. */
  async isListed(file: string, weights: RangeManifest['weights'], asker: Asker): Promise<boolean> {
    const result = await this.#run({ kind: 'check', file, weights }, file, asker)
    return result.kind === 'checked' ? result.isListed : mixedUp(result)
  }

  async close(): Promise<void> {
    await this.#threads.close()
  }

  async #run(work: ModelFileWork, file: string, asker: Asker): Promise<ModelFileResult> {
    const { size } = await fs.stat(file)
    return size < MIN_THREAD_BYTES ? workOnModelFile(work) : this.#threads.run(work, asker)
  }
}

function mixedUp({ kind }: ModelFileResult): never {
  throw new ScissionError('internal', `the thread that reads model files answered with "${kind}"`)
}
