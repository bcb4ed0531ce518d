/** Reads samples on a thread: unpacking an archive and parsing long JSON take up to seconds. */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
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
const MAX_WAITING_COUNT = 8
const MAX_MS = 60_000
/** The thread ends after this: samples are rare. */
const IDLE_MS = 10_000

export class SampleReader {
  /** Maximum of the tensors of one request, and of the files that hold them. */
  readonly limitBytes: number
  readonly #thread = new WorkThread<SampleWork, SampleResult>({
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
  async read(files: readonly SampleFile[]): Promise<Tensor[]> {
    const result = await this.#thread.run({ kind: 'files', files, limitBytes: this.limitBytes })
    if (result.kind === 'tensors') return result.tensors
    throw otherAnswer()
  }

  /** @throws ScissionError as `readRequest` of a calibration; overloaded; deadlineExceeded. */
  readRequest(body: Uint8Array, jsonBytes: number): Promise<ReceivedRequest> {
    return this.#request({ kind: 'request', body, jsonBytes })
  }

  /** @throws ScissionError as `readFields` of a calibration; overloaded; deadlineExceeded. */
  readFields(fields: ReadonlyMap<string, Uint8Array>): Promise<ReceivedRequest> {
    return this.#request({ kind: 'fields', fields, limitBytes: this.limitBytes })
  }

  async #request(work: SampleWork): Promise<ReceivedRequest> {
    const result = await this.#thread.run(work)
    if (result.kind === 'request') return result.request
    throw otherAnswer()
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}

const otherAnswer = () =>
  new ScissionError('internal', 'the thread that reads samples answered another question')
