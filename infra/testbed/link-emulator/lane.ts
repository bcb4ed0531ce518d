/**
 * One direction of one link: a line that transfers one slice at a time at the link's rate, followed by a delay. All
 * connections of that direction share the line and take turns, slice by slice.
 *
 *   flows with something to send ──turns──▶ line: bytes × 8 / rate ──▶ delay: rtt / 2 ──▶ delivered, in order
 *
 * The line keeps its own time: a slice starts at the time at which the one before was due to end, even if the timer fired
 * later, provided that data was ready by then. Therefore the rate is exact over any length of time.
 */
import type { Schedule } from './schedule.ts'

/** A source of slices that shares the line with others. */
export interface Sender {
  /** The next slice of at most `bytes`; undefined if nothing is ready, or if the receiver has no space. */
  take: (bytes: number) => Slice | undefined
}

export interface Slice {
  bytes: number
  /** Time from which the slice could have been sent. */
  readyMs: number
  deliver: () => void
  /** True if the same sender has further slices ready. */
  more: boolean
}

/** Duration of one slice in ms. A slice is at least one packet and at most one chunk of a socket. */
const SLICE_MS = 2
const PACKET_BYTES = 1460
const CHUNK_BYTES = 64 * 1024
/** Rate by which buffers are sized if the link's rate is unlimited: 10 Gbit/s. */
const UNLIMITED_MBPS = 10_000
/** ms of line time that a sender may hold ready, so that the line never waits for a socket to be read. */
const READY_MS = 20
const LARGEST_READY_BYTES = 4 * 1024 * 1024

const bytesIn = (ms: number, mbps: number) => (mbps * 1000 * ms) / 8

export class Lane {
  readonly #schedule: Schedule
  readonly #waiting: Sender[] = []
  #mbps: number | null
  #delayMs: number
  /** Time at which the line has sent everything given to it so far. */
  #freeMs = 0
  #wakes = false
  #halted = false
  /** Deliveries that became due while halted. */
  #held: (() => void)[] = []
  #lastDeliveryMs = 0
  /** Payload bytes that flows have handed to their targets. */
  deliveredBytes = 0

  constructor(schedule: Schedule, mbps: number | null, delayMs: number) {
    this.#schedule = schedule
    this.#mbps = mbps
    this.#delayMs = delayMs
  }

  /** Applies to slices that start from now on. */
  set(mbps: number | null, delayMs: number): void {
    this.#mbps = mbps
    this.#delayMs = delayMs
  }

  /** Bytes that a sender may hold ready before it should stop reading. */
  get readyBytes(): number {
    const ofLine = bytesIn(READY_MS, this.#mbps ?? UNLIMITED_MBPS)
    return Math.min(LARGEST_READY_BYTES, Math.max(2 * CHUNK_BYTES, ofLine))
  }

  /** Bytes of one sender that may be on the way: twice the product of rate and delay, and a few chunks. */
  get windowBytes(): number {
    return 2 * bytesIn(this.#delayMs, this.#mbps ?? UNLIMITED_MBPS) + 4 * CHUNK_BYTES
  }

  /** Announces that `sender` has data, or space again. To be called once until `take` returned undefined. */
  offer(sender: Sender): void {
    this.#waiting.push(sender)
    this.#serve()
  }

  /** Stops the line and all deliveries. */
  halt(): void {
    this.#halted = true
  }

  resume(): void {
    this.#halted = false
    for (const deliver of this.#held.splice(0)) deliver()
    this.#serve()
  }

  /** Sends the next slice of the sender whose turn it is, if the line is free. */
  #serve(): void {
    const now = performance.now()
    while (!this.#halted && this.#freeMs <= now) {
      const sender = this.#waiting.shift()
      if (sender === undefined) return
      const slice = sender.take(this.#sliceBytes())
      if (slice === undefined) continue
      this.#carry(slice)
      this.#waiting.push(sender)
    }
    if (this.#wakes || this.#halted) return
    this.#wakes = true
    this.#schedule.at(this.#freeMs, () => {
      this.#wakes = false
      this.#serve()
    })
  }

  #carry(slice: Slice): void {
    const startMs = Math.max(this.#freeMs, slice.readyMs)
    this.#freeMs = startMs + (this.#mbps === null ? 0 : slice.bytes / bytesIn(1, this.#mbps))
    // Keeps the order even if the delay was shortened meanwhile.
    this.#lastDeliveryMs = Math.max(this.#lastDeliveryMs, this.#freeMs + this.#delayMs)
    // The first and the last slice of a burst on time: from one to the other a receiver tells the rate.
    const isFirst = startMs === slice.readyMs
    this.#schedule.at(this.#lastDeliveryMs, () => this.#deliver(slice.deliver), isFirst || !slice.more)
  }

  #deliver(deliver: () => void): void {
    if (this.#halted) this.#held.push(deliver)
    else deliver()
  }

  #sliceBytes(): number {
    if (this.#mbps === null) return CHUNK_BYTES
    return Math.floor(Math.min(CHUNK_BYTES, Math.max(PACKET_BYTES, bytesIn(SLICE_MS, this.#mbps))))
  }
}
