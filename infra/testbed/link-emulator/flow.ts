/**
 * One direction of one connection: reads the source socket, sends through the lane, writes the target socket.
 *
 *   source ─▶ ready ─▶ lane ─▶ on the way ─▶ target
 *
 * What is ready and what is on the way are both bounded: with enough ready the source is paused, with enough on
 * the way the lane passes over this flow.
 *
 * The end of the stream and a reset travel through the lane like data, so that they arrive after what was
 * sent before them. A reset drops what had not been sent yet, as a kernel does.
 */
import type { Socket } from 'node:net'
import type { Lane, Sender, Slice } from './lane.ts'

interface Entry {
  what: Buffer | 'end' | 'reset'
  /** When it came. */
  readyMs: number
}

export class Flow implements Sender {
  readonly #source: Socket
  readonly #target: Socket
  readonly #lane: Lane
  readonly #now: () => number
  readonly #onDelivered: (bytes: number) => void
  #ready: Entry[] = []
  #readyBytes = 0
  #onTheWayBytes = 0
  #offered = false
  #finished: 'end' | 'reset' | undefined

  /** The source is read only after `open`. */
  constructor(parts: {
    source: Socket
    target: Socket
    lane: Lane
    now: () => number
    onDelivered: (bytes: number) => void
  }) {
    this.#source = parts.source
    this.#target = parts.target
    this.#lane = parts.lane
    this.#now = parts.now
    this.#onDelivered = parts.onDelivered
    this.#source.pause()
    this.#source.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.#source.on('end', () => this.#finish('end'))
    this.#source.on('error', () => this.#finish('reset'))
    this.#source.on('close', () => {
      // Without an end: destroyed from this side.
      if (this.#finished === undefined) this.#finish('reset')
    })
    this.#target.on('drain', () => this.#offer())
  }

  open(): void {
    this.#source.resume()
  }

  take(bytes: number): Slice | undefined {
    const entry = this.#hasRoom() ? this.#ready.shift() : undefined
    if (entry === undefined) {
      this.#offered = false
      return undefined
    }
    const { what, readyMs } = entry
    if (typeof what === 'string') return { bytes: 0, readyMs, deliver: () => this.#close(what), more: false }
    const slice = what.subarray(0, bytes)
    if (slice.length < what.length) this.#ready.unshift({ what: what.subarray(bytes), readyMs })
    this.#readyBytes -= slice.length
    this.#onTheWayBytes += slice.length
    this.#readOn()
    // The last two: a short last one is due so soon after the one before that it would wait for that one's timer.
    const more = this.#readyBytes > bytes
    return { bytes: slice.length, readyMs, deliver: () => this.#deliver(slice), more }
  }

  #onData(chunk: Buffer): void {
    this.#readyBytes += chunk.length
    this.#push(chunk)
    if (this.#readyBytes >= this.#lane.readyBytes) this.#source.pause()
  }

  #readOn(): void {
    const isLow = this.#readyBytes < this.#lane.readyBytes / 2
    if (isLow && this.#finished === undefined && this.#source.isPaused()) this.#source.resume()
  }

  #finish(how: 'end' | 'reset'): void {
    if (this.#finished === how || this.#finished === 'reset') return
    this.#finished = how
    if (how === 'reset') {
      this.#ready = []
      this.#readyBytes = 0
    }
    this.#push(how)
  }

  #push(what: Entry['what']): void {
    this.#ready.push({ what, readyMs: this.#now() })
    this.#offer()
  }

  #offer(): void {
    if (this.#offered || this.#ready.length === 0 || !this.#hasRoom()) return
    this.#offered = true
    this.#lane.offer(this)
  }

  /** Whether more may be on its way. The end and a reset need no room. */
  #hasRoom(): boolean {
    return (
      typeof this.#ready[0]?.what === 'string' ||
      this.#onTheWayBytes + this.#target.writableLength < this.#lane.windowBytes
    )
  }

  #deliver(slice: Buffer): void {
    this.#onTheWayBytes -= slice.length
    if (this.#target.writable) {
      this.#target.write(slice)
      this.#onDelivered(slice.length)
    }
    this.#offer()
  }

  #close(how: 'end' | 'reset'): void {
    if (how === 'end') this.#target.end()
    else this.#target.resetAndDestroy()
  }
}
