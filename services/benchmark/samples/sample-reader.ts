/** Reads samples on threads: unpacking an archive and parsing long JSON take up to seconds. */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { FairThreads } from '../../../shared/platform/threads/fair-threads.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { ReceivedRequest } from '../calibrations/read-request.ts'
import type { SampleFile } from './read-samples.ts'

export type SampleWork =
  | { kind: 'files'; files: readonly SampleFile[]; limitBytes: number }
  | { kind: 'request'; body: Uint8Array; jsonBytes: number }
  | { kind: 'fields'; fields: ReadonlyMap<string, Uint8Array>; limitBytes: number }

export type SampleResult =
  | { kind: 'tensors'; tensors: Tensor[] }
  | { kind: 'request'; request: ReceivedRequest }

/** Each piece that waits holds its files in memory. */
const WAITING = { waiting: 8, waitingOfClient: 4 }
const MAX_MS = 60_000
/** A thread ends after this: samples are rare. */
const IDLE_MS = 10_000

export class SampleReader {
  /** Maximum of the tensors of one request, and of the files that hold them. */
  readonly limitBytes: number
  readonly #threads = new FairThreads<SampleWork, SampleResult>({
    entry: threadModule(new URL('./samples-worker.ts', import.meta.url)),
    name: 'the thread that reads samples',
    what: 'requests with samples',
    ...WAITING,
    longest: { ms: MAX_MS, message: `the samples could not be read within ${MAX_MS} ms; send fewer` },
    idleMs: IDLE_MS,
  })

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  /** @throws ScissionError as readSampleFiles; tooManyRequests, overloaded; deadlineExceeded. */
  async read(files: readonly SampleFile[], asker: Asker): Promise<Tensor[]> {
    const result = await this.#threads.run({ kind: 'files', files, limitBytes: this.limitBytes }, asker)
    if (result.kind === 'tensors') return result.tensors
    throw otherAnswer()
  }

  /** @throws ScissionError as `readRequest` of a calibration; tooManyRequests, overloaded; deadlineExceeded. */
  readRequest(body: Uint8Array, jsonBytes: number, asker: Asker): Promise<ReceivedRequest> {
    return this.#request({ kind: 'request', body, jsonBytes }, asker)
  }

  /** @throws ScissionError as `readFields` of a calibration; tooManyRequests, overloaded; deadlineExceeded. */
  readFields(fields: ReadonlyMap<string, Uint8Array>, asker: Asker): Promise<ReceivedRequest> {
    return this.#request({ kind: 'fields', fields, limitBytes: this.limitBytes }, asker)
  }

  async #request(work: SampleWork, asker: Asker): Promise<ReceivedRequest> {
    const result = await this.#threads.run(work, asker)
    if (result.kind === 'request') return result.request
    throw otherAnswer()
  }

  async close(): Promise<void> {
    await this.#threads.close()
  }
}

const otherAnswer = () =>
  new ScissionError('internal', 'the thread that reads samples answered another question')
