/**
 * One direction of one link: a line that carries one slice at a time at the link's rate, and a delay behind
 * it. All connections of that direction share the line and take turns, slice by slice.
 *
 *   flows with something to send ──turns──▶ line: bytes × 8 / rate ──▶ delay: rtt / 2 ──▶ delivered, in order
 *
 * The line keeps its own time: the next slice starts when the one before it was due to end, however late the
 * timer that says so, as long as there was something to send by then. So the rate is exact over any length of
 * time.
 */
import type { Schedule } from './schedule.ts'

/** What the line needs to know of a sender. */
export interface Sender {
  /** The next piece of at most `bytes`; undefined when there is nothing, or no room at the receiver. */
  take: (bytes: number) => Slice | undefined
}

export interface Slice {
  bytes: number
  /** Since when it could have been sent. */
  readyMs: number
  deliver: () => void
  /** More of the same sender follows closely. */
  more: boolean
}

/**
 * One slice takes this long, but is not smaller than a packet nor larger than what a socket hands over at
 * once.
 */
const SLICE_MS = 2
const PACKET_BYTES = 1460
const CHUNK_BYTES = 64 * 1024
/** What "unlimited" is taken to be where buffers must have a size: 10 Gbit/s. */
const UNLIMITED_MBPS = 10_000
/** A sender may have this much of line time ready, so that the line never waits for a socket to be read. */
const READY_MS = 20
const LARGEST_READY_BYTES = 4 * 1024 * 1024

const bytesIn = (ms: number, mbps: number) => (mbps * 1000 * ms) / 8

export class Lane {
  readonly #schedule: Schedule
  readonly #waiting: Sender[] = []
  #mbps: number | null
  #delayMs: number
  /** When the line has carried all that it was given. */
  #freeMs = 0
  #wakes = false
  #halted = false
  /** Deliveries that fell due while halted. */
  #held: (() => void)[] = []
  #lastDeliveryMs = 0

  constructor(schedule: Schedule, mbps: number | null, delayMs: number) {
    this.#schedule = schedule
    this.#mbps = mbps
    this.#delayMs = delayMs
  }

  get delayMs(): number {
    return this.#delayMs
  }

  /** Holds for what starts from now on. */
  set(mbps: number | null, delayMs: number): void {
    this.#mbps = mbps
    this.#delayMs = delayMs
  }

  /** How much a sender may hold ready before it should stop reading. */
  get readyBytes(): number {
    const ofLine = bytesIn(READY_MS, this.#mbps ?? UNLIMITED_MBPS)
    return Math.min(LARGEST_READY_BYTES, Math.max(2 * CHUNK_BYTES, ofLine))
  }

  /** How much of one sender may be on its way: what the delay can hold, twice, and a few chunks. */
  get windowBytes(): number {
    return 2 * bytesIn(this.#delayMs, this.#mbps ?? UNLIMITED_MBPS) + 4 * CHUNK_BYTES
  }

  /** `sender` has something to send, or has room again. To be called once until `take` returned undefined. */
  offer(sender: Sender): void {
    this.#waiting.push(sender)
    this.#serve()
  }

  /** Nothing moves any more, neither on the line nor behind it. */
  halt(): void {
    this.#halted = true
  }

  resume(): void {
    this.#halted = false
    for (const deliver of this.#held.splice(0)) deliver()
    this.#serve()
  }

  /** While the line is free: the next slice of whoever's turn it is. */
  #serve(): void {
    const now = this.#schedule.now()
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
    // In order, even when the delay was shortened meanwhile.
    this.#lastDeliveryMs = Math.max(this.#lastDeliveryMs, this.#freeMs + this.#delayMs)
    this.#schedule.at(this.#lastDeliveryMs, () => this.#deliver(slice), !slice.more)
  }

  #deliver(slice: Slice): void {
    if (this.#halted) this.#held.push(() => slice.deliver())
    else slice.deliver()
  }

  #sliceBytes(): number {
    if (this.#mbps === null) return CHUNK_BYTES
    return Math.floor(Math.min(CHUNK_BYTES, Math.max(PACKET_BYTES, bytesIn(SLICE_MS, this.#mbps))))
  }
}
