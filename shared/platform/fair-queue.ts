/**
 * A queue for work that takes long, shared out among clients: each in turn has a piece begun, none has all places at once, and
 * how many of its pieces wait is bounded. A client that asks for much waits for itself.
 */
import { ScissionError } from './errors.ts'
import { FairLine } from './fair-line.ts'

/** Who asks for a piece of work. */
export interface Asker {
  /** Equal for all that one client asks for. */
  client: string
  /** Aborted when nobody waits for the answer any more: a piece that has not begun is dropped. */
  gone?: AbortSignal | undefined
}

export interface FairQueueLimits {
  /** What waits, in refusals: "analyses". */
  what: string
  /** Pieces that are worked on at the same time. */
  atOnce: number
  /** The same of one client. @defaultValue one place less, so that another client's piece begins at once; at least one */
  atOnceOfClient?: number
  /** Pieces that may wait; 0 if what has no place is refused. */
  waiting: number
  /** The same of one client. */
  waitingOfClient: number
}

interface Piece {
  begin: () => void
}

export class FairQueue {
  readonly #limits: Required<FairQueueLimits>
  readonly #waiting = new FairLine<Piece>()
  /** Client → pieces under way. */
  readonly #running = new Map<string, number>()
  #runningCount = 0

  constructor(limits: FairQueueLimits) {
    this.#limits = { atOnceOfClient: Math.max(1, limits.atOnce - 1), ...limits }
  }

  /**
   * Does the work when it is the client's turn.
   * @throws ScissionError tooManyRequests if too much of this client waits, overloaded if too much of all does; cancelled if the
   *   client left before; what `work` throws.
   */
  async run<T>(asker: Asker, work: () => Promise<T>): Promise<T> {
    const { client, gone } = asker
    if (gone?.aborted) throw left()
    await this.#turn(client, gone)
    try {
      return await work()
    } finally {
      this.#runningCount -= 1
      count(this.#running, client, -1)
      this.#next()
    }
  }

  #turn(client: string, gone: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const own = this.#waiting.countOf(client)
      if (!this.#hasPlace(client) || own > 0) this.#refuseTooMany(client, own)
      const piece = {
        begin: () => {
          this.#runningCount += 1
          count(this.#running, client, 1)
          gone?.removeEventListener('abort', leave)
          resolve()
        },
      }
      const leave = () => {
        this.#waiting.remove(client, piece)
        reject(left())
      }
      gone?.addEventListener('abort', leave, { once: true })
      this.#waiting.add(client, piece)
      this.#next()
    })
  }

  #refuseTooMany(client: string, own: number): void {
    const { what, atOnceOfClient, waiting, waitingOfClient } = this.#limits
    const running = this.#running.get(client) ?? 0
    if (waitingOfClient === 0 && running >= atOnceOfClient)
      throw new ScissionError(
        'tooManyRequests',
        `${running} ${what} of this client are under way already, which is the limit; ask again when some of them are done`,
        { limit: atOnceOfClient },
      )
    if (own >= waitingOfClient && waitingOfClient > 0)
      throw new ScissionError(
        'tooManyRequests',
        `${own} ${what} of this client wait already, which is the limit; ask again when some of them are done`,
        { limit: waitingOfClient },
      )
    if (this.#waiting.length >= waiting)
      throw new ScissionError(
        'overloaded',
        waiting === 0
          ? `${this.#runningCount} ${what} are under way already, which is the limit; ask again in a moment`
          : `${this.#waiting.length} ${what} wait already, which is the limit; ask again in a moment`,
        { limit: waiting === 0 ? this.#limits.atOnce : waiting },
      )
  }

  #hasPlace(client: string): boolean {
    const { atOnce, atOnceOfClient } = this.#limits
    return this.#runningCount < atOnce && (this.#running.get(client) ?? 0) < atOnceOfClient
  }

  /** Begins what can begin, a piece of each client in turn. */
  #next(): void {
    while (this.#runningCount < this.#limits.atOnce) {
      const piece = this.#waiting.take((client) => this.#hasPlace(client))
      if (!piece) return
      piece.begin()
    }
  }
}

function count(counts: Map<string, number>, key: string, by: number): void {
  const now = (counts.get(key) ?? 0) + by
  if (now > 0) counts.set(key, now)
  else counts.delete(key)
}

const left = () => new ScissionError('cancelled', 'the client left before its request was worked on')
