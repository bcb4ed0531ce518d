/**
 * What waits, of many clients: taken from each client in turn, a client's own in the order in which it came. Who adds much waits
 * for itself; where the line is bounded, it gives places back to those who have fewer.
 */

export class FairLine<T> {
  /** Client → what waits of it, the oldest first. The client whose turn is next comes first. */
  readonly #waiting = new Map<string, T[]>()
  #length = 0
  /** Who had the last turn: if it waits again, it is last, and gives way once to a client that comes now. */
  #hadLastTurn: string | undefined

  get length(): number {
    return this.#length
  }

  countOf(client: string): number {
    return this.#waiting.get(client)?.length ?? 0
  }

  add(client: string, item: T): void {
    const own = this.#waiting.get(client)
    if (own) own.push(item)
    else this.#addClient(client, item)
    this.#length += 1
  }

  /** Something of this client began without waiting: that was its turn. */
  passed(client: string): void {
    this.#hadLastTurn = client
  }

  /**
   * Takes the oldest of the client whose turn it is, which is last from then on.
   * @param mayHave leaves out clients of which nothing may begin now; they keep their turn.
   */
  take(mayHave: (client: string) => boolean = () => true): T | undefined {
    for (const [client, own] of this.#waiting) {
      if (!mayHave(client)) continue
      const item = own.shift()
      this.#length -= 1
      this.#waiting.delete(client)
      if (own.length > 0) this.#waiting.set(client, own)
      this.#hadLastTurn = client
      return item
    }
    return undefined
  }

  /** @returns whether it was there. */
  remove(client: string, item: T): boolean {
    const own = this.#waiting.get(client) ?? []
    const place = own.indexOf(item)
    if (place === -1) return false
    own.splice(place, 1)
    this.#length -= 1
    if (own.length === 0) this.#waiting.delete(client)
    return true
  }

  /**
   * Makes a place for one more of this client in a line that is full: takes out the newest of the client that has the most.
   * @param elsewhere how much of a client waits that is not in this line any more and has a place. Infinity: it gives none back.
   * @returns it; undefined if nobody has more than this client would have.
   */
  displaceFor(client: string, elsewhere: (client: string) => number = () => 0): T | undefined {
    let [longest, most] = ['', this.countOf(client) + elsewhere(client) + 1]
    for (const [one, own] of this.#waiting) {
      const count = own.length + elsewhere(one)
      if (count > most && count < Infinity) [longest, most] = [one, count]
    }
    const newest = this.#waiting.get(longest)?.at(-1)
    if (newest !== undefined) this.remove(longest, newest)
    return newest
  }

  #addClient(client: string, item: T): void {
    const last = this.#hadLastTurn
    const ofLast = last === undefined || last === client ? undefined : this.#waiting.get(last)
    this.#waiting.set(client, [item])
    if (last === undefined || !ofLast) return
    this.#waiting.delete(last)
    this.#waiting.set(last, ofLast)
    // Once: many that come one after another must not keep it waiting.
    this.#hadLastTurn = undefined
  }

  clients(): IterableIterator<[client: string, waiting: readonly T[]]> {
    return this.#waiting.entries()
  }

  /** All that waits, client by client. */
  items(): T[] {
    return [...this.#waiting.values()].flat()
  }

  /** Takes all. */
  clear(): T[] {
    const all = this.items()
    this.#waiting.clear()
    this.#length = 0
    return all
  }
}
