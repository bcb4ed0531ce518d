/** Reads samples on a thread: unpacking an archive and parsing long JSON take up to seconds. */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { SampleFile } from './read-samples.ts'

export interface SampleWork {
  files: readonly SampleFile[]
  limitBytes: number
}

/** Each piece that waits holds its files in memory. */
const MAX_WAITING_COUNT = 8
const MAX_MS = 60_000
/** The thread ends after this: samples are rare. */
const IDLE_MS = 10_000

export class SampleReader {
  /** Maximum of the tensors of one request, and of the files that hold them. */
  readonly limitBytes: number
  readonly #thread = new WorkThread<SampleWork, Tensor[]>({
    entry: threadModule(new URL('./samples-worker.ts', import.meta.url)),
    name: 'the thread that reads samples',
    maxPieces: MAX_WAITING_COUNT,
    busy: (waiting) => `${waiting} requests with samples wait to be read; send this one again in a moment`,
    longest: { ms: MAX_MS, message: `the samples could not be read within ${MAX_MS} ms; send fewer` },
    idleMs: IDLE_MS,
  })

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  /** @throws ScissionError as readSampleFiles; overloaded; deadlineExceeded. */
  read(files: readonly SampleFile[]): Promise<Tensor[]> {
    return this.#thread.run({ files, limitBytes: this.limitBytes })
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}
