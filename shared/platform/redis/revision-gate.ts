/** How far a copy of the shared state has come, and the requests that wait until it has come further. */
import { waitAtMost } from '../deadline.ts'
import { ScissionError } from '../errors.ts'
import { AT_LEAST_HEADER, type AskedRevision, contains, formatRevision, type Revision } from './revision.ts'

/** Longest wait for a copy, which is milliseconds behind or cannot be updated. */
const PATIENCE_MS = 10_000

export class RevisionGate {
  readonly #read: () => Promise<Revision | undefined>
  readonly #patienceMs: number
  #revision: Revision | undefined
  readonly #waiting = new Set<() => void>()

  /** @param read the newest revision there is. */
  constructor(read: () => Promise<Revision | undefined>, patienceMs = PATIENCE_MS) {
    this.#read = read
    this.#patienceMs = patienceMs
  }

  /** Of the copy; undefined before it was made. */
  get revision(): Revision | undefined {
    return this.#revision
  }

  /** The copy contains this revision and all before it. An older one of the same epoch changes nothing. */
  advance(revision: Revision | undefined): void {
    if (this.#revision && revision && contains(this.#revision, revision)) return
    this.#revision = revision
    for (const wake of this.#waiting) wake()
  }

  /**
   * Resolves once the copy contains a revision. One that Redis does not know, because it lost its data since, cannot be
   * waited for: then the copy must contain what Redis has now.
   * @throws ScissionError deadlineExceeded if it does not come; Redis' own error if it must be asked and cannot be reached.
   */
  async reach(asked: AskedRevision): Promise<void> {
    if (asked !== 'latest' && contains(this.#revision, asked)) return
    const giveUpAt = performance.now() + this.#patienceMs
    for (;;) {
      const newest = await this.#read()
      const wanted = asked !== 'latest' && contains(newest, asked) ? asked : newest
      if (!wanted || (await this.#wait(wanted, giveUpAt))) return
    }
  }

  /** @returns false if meanwhile the copy moved to another epoch. @throws ScissionError deadlineExceeded. */
  async #wait(wanted: Revision, giveUpAt: number): Promise<boolean> {
    const epoch = this.#revision?.epoch
    while (!contains(this.#revision, wanted)) {
      if (!(await this.#advanced(giveUpAt))) throw this.#late(wanted)
      if (this.#revision?.epoch !== epoch && this.#revision?.epoch !== wanted.epoch) return false
    }
    return true
  }

  /** @returns false if it does not happen in time. */
  async #advanced(giveUpAt: number): Promise<boolean> {
    let wake = () => {}
    const woken = new Promise<boolean>((resolve) => {
      wake = () => resolve(true)
    })
    this.#waiting.add(wake)
    try {
      return await waitAtMost(woken, Math.max(0, giveUpAt - performance.now()), false)
    } finally {
      this.#waiting.delete(wake)
    }
  }

  #late(wanted: Revision): ScissionError {
    const seen = this.#revision ? formatRevision(this.#revision) : 'nothing'
    return new ScissionError(
      'deadlineExceeded',
      `this service has not seen revision ${formatRevision(wanted)} within ${this.#patienceMs / 1000} s, only ${seen}: ` +
        `it may have lost Redis; ask again in a moment, or without ${AT_LEAST_HEADER} for what it knows`,
      { wanted: formatRevision(wanted), seen },
    )
  }
}
