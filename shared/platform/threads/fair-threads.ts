/**
 * A few worker threads for the work of many clients: each client in turn, none on all threads at once, and how much of it waits is
 * bounded (fair-queue.ts). A client whose work takes the whole time limit holds up its own alone.
 */
import type { TransferListItem } from 'node:worker_threads'
import { ScissionError } from '../errors.ts'
import { type Asker, FairQueue, type FairQueueLimits } from '../fair-queue.ts'
import { WorkThread, type WorkThreadOptions } from './work-thread.ts'

export interface FairThreadsOptions
  extends Pick<WorkThreadOptions, 'entry' | 'name' | 'longest' | 'idleMs'>,
    Pick<FairQueueLimits, 'what' | 'waiting' | 'waitingOfClient'> {
  /** Two let a client's work begin beside a long piece of another. @defaultValue 2 */
  threads?: number
}

export class FairThreads<Work, Result> {
  readonly #queue: FairQueue
  readonly #threads: readonly WorkThread<Work, Result>[]
  /** The one that was used last comes last and is taken first, so that the others end when there is little to do. */
  readonly #free: WorkThread<Work, Result>[]
  #closed = false

  constructor({ threads = 2, what, waiting, waitingOfClient, ...options }: FairThreadsOptions) {
    this.#queue = new FairQueue({ what, atOnce: threads, waiting, waitingOfClient })
    // No piece waits at a thread: they wait in the queue.
    const one = { ...options, maxPieces: 1, busy: () => `${options.name} is at work` }
    this.#threads = Array.from({ length: threads }, () => new WorkThread<Work, Result>(one))
    this.#free = [...this.#threads]
  }

  get running(): boolean {
    return this.#threads.some((thread) => thread.running)
  }

  /**
   * @param work or how to make it, when its turn has come: what waits takes no memory.
   * @param transfer buffers to move to the thread; they move when the work begins.
   * @throws ScissionError as the work does; tooManyRequests or overloaded if too many wait; cancelled if the client left before its
   *   turn, or by `close`; deadlineExceeded; internal if the thread dies.
   */
  run(
    work: Work | (() => Promise<Work>),
    asker: Asker,
    transfer: readonly TransferListItem[] = [],
  ): Promise<Result> {
    return this.#queue.run(asker, async () => {
      const thread = this.#free.pop()
      if (this.#closed || !thread) throw new ScissionError('cancelled', 'the service is stopping')
      try {
        // A piece whose client leaves while it is worked on keeps its place until the thread is free.
        return await thread.run(isMaker(work) ? await work() : work, { transfer })
      } finally {
        this.#free.push(thread)
      }
    })
  }

  /** Ends the threads; what is in progress and what waits fails. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#threads.map((thread) => thread.close()))
  }
}

const isMaker = <Work>(work: Work | (() => Promise<Work>)): work is () => Promise<Work> =>
  typeof work === 'function'
