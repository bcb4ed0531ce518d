/**
 * Runs actions at given times, more precisely than setTimeout: it waits whole milliseconds by a timer and the rest by
 * spinning through the event loop.
 *
 * On an idle event loop a precise action runs 0–0.1 ms after its time, others 0–1.2 ms after it. Each action receives its
 * due time and schedules the next one from there, so delays do not add up. Spinning is limited to a fifth of the time:
 * under load, precise actions become like the others instead of taking a core from the services. All times are ms of
 * `performance.now()`.
 */
import { performance } from 'node:perf_hooks'

type Action = (dueMs: number) => void

interface Item {
  dueMs: number
  /** Orders items with equal times by arrival. */
  order: number
  precise: boolean
  run: Action
}

/** Items that are due within this many ms run now. */
const EARLY_MS = 0.02
/** Share of the time that may be spent spinning, and how many ms of it can be saved up. */
const SPIN_SHARE = 0.2
const SPIN_SAVED_MS = 25

export class Schedule {
  /** A binary heap with the earliest item first. */
  readonly #heap: Item[] = []
  #order = 0
  #timer: NodeJS.Timeout | undefined
  #timerDueMs = Number.POSITIVE_INFINITY
  #immediate: NodeJS.Immediate | undefined
  #spinSavedMs = SPIN_SAVED_MS
  #spinCountedAt = performance.now()
  #spinningSince: number | undefined
  #closed = false

  now(): number {
    return performance.now()
  }

  /** @param precise spin for the last fraction of a millisecond, because a reader waits for exactly this action. */
  at(dueMs: number, run: Action, precise = false): void {
    if (this.#closed) return
    this.#order += 1
    push(this.#heap, { dueMs, order: this.#order, precise, run })
    this.#arm()
  }

  /** Drops all items. */
  close(): void {
    this.#closed = true
    this.#heap.length = 0
    this.#disarm()
  }

  #arm(): void {
    const next = this.#heap[0]
    if (next === undefined || this.#immediate !== undefined) return
    const now = performance.now()
    const aheadMs = next.dueMs - now
    const spin = aheadMs > EARLY_MS && aheadMs < 1 && next.precise && this.#maySpin(now)
    if (aheadMs <= EARLY_MS || spin) {
      if (spin) this.#spinningSince = now
      this.#immediate = setImmediate(() => this.#wake())
      return
    }
    if (this.#timerDueMs <= next.dueMs) return
    clearTimeout(this.#timer)
    this.#timerDueMs = next.dueMs
    // Timers fire late: for a precise item the timer is set to the whole millisecond before its time.
    this.#timer = setTimeout(
      () => this.#wake(),
      Math.max(1, next.precise ? Math.floor(aheadMs) : Math.ceil(aheadMs)),
    )
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#timer = undefined
    this.#immediate = undefined
    this.#timerDueMs = Number.POSITIVE_INFINITY
  }

  #wake(): void {
    this.#disarm()
    if (this.#spinningSince !== undefined) this.#spinSavedMs -= performance.now() - this.#spinningSince
    this.#spinningSince = undefined
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.dueMs > performance.now() + EARLY_MS) break
      pop(this.#heap)
      next.run(next.dueMs)
    }
    this.#arm()
  }

  #maySpin(now: number): boolean {
    const earned = (now - this.#spinCountedAt) * SPIN_SHARE
    this.#spinSavedMs = Math.min(SPIN_SAVED_MS, this.#spinSavedMs + earned)
    this.#spinCountedAt = now
    return this.#spinSavedMs > 0
  }
}

const isBefore = (a: Item, b: Item) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order)

function push(heap: Item[], item: Item): void {
  let index = heap.length
  heap.push(item)
  while (index > 0) {
    const parentIndex = (index - 1) >> 1
    const parent = heap[parentIndex]
    if (parent === undefined || !isBefore(item, parent)) break
    heap[index] = parent
    index = parentIndex
  }
  heap[index] = item
}

function pop(heap: Item[]): void {
  const item = heap.pop()
  if (item === undefined || heap.length === 0) return
  let index = 0
  for (;;) {
    const left = heap[2 * index + 1]
    const right = heap[2 * index + 2]
    if (left === undefined) break
    const childIndex = right !== undefined && isBefore(right, left) ? 2 * index + 2 : 2 * index + 1
    const child = childIndex === 2 * index + 1 ? left : (right ?? left)
    if (!isBefore(child, item)) break
    heap[index] = child
    index = childIndex
  }
  heap[index] = item
}
