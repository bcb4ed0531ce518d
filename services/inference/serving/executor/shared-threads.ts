/** The threads that small stages share, as many as may compute at the same time. */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { ExecutorThread, type ThreadSettings } from './executor-thread.ts'
import type { SessionSource } from './session-runner.ts'

export class SharedThreads {
  readonly threads: readonly ExecutorThread[]

  constructor(count: number, settings: ThreadSettings) {
    const onOverrun = (late: ExecutorThread) => this.#relieve(late)
    this.threads = Array.from({ length: count }, () => new ExecutorThread({ ...settings, onOverrun }))
  }

  /** @returns the names of the session's inputs. */
  load(source: SessionSource): Promise<string[]> {
    return this.choose(source).load(source)
  }

  /** One without a run that was given up; of these the one with the fewest commands; then one that has the stage; then the one
   * with the fewest stages. */
  choose({ key }: Pick<SessionSource, 'key'>): ExecutorThread {
    return chooseOf(this.threads, key)
  }

  /** Frees the sessions of a stage, after the runs queued before. */
  async unload(key: string): Promise<void> {
    const holders = this.threads.filter((thread) => thread.held.has(key))
    await Promise.all(holders.map((thread) => thread.unload(key)))
  }

  /** ms for which every one of them has been held up by a run that was given up; 0 if one is not. */
  heldUpMs(): number {
    const since = this.threads.map(({ late }) => late?.since ?? Infinity)
    return Math.max(0, performance.now() - Math.max(...since))
  }

  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()))
  }

  /** What waits behind a run that was given up goes elsewhere, if there is a thread without such a run. */
  #relieve(late: ExecutorThread): void {
    const others = this.threads.filter((thread) => thread !== late && !thread.late)
    const [first] = others.toSorted((a, b) => a.pending - b.pending)
    if (first) late.handOver(first)
  }
}

/** The thread for the next run. */
export function chooseOf(threads: readonly ExecutorThread[], key: string): ExecutorThread {
  const cost = (thread: ExecutorThread) => [
    !thread.late ? 0 : thread.late.isStuck ? 2 : 1,
    thread.pending,
    thread.held.has(key) ? 0 : 1,
    thread.held.size,
  ]
  const [first] = threads.toSorted((a, b) => {
    const [left, right] = [cost(a), cost(b)]
    return left.map((part, index) => part - (right[index] ?? 0)).find((gap) => gap !== 0) ?? 0
  })
  if (first === undefined) throw new ScissionError('internal', 'an executor needs at least one thread')
  return first
}
