/**
 * One direction of one connection: reads the source socket, sends through the lane, writes the target socket.
 *
 *   source ─▶ ready ─▶ lane ─▶ on the way ─▶ target
 *
 * Both queues are bounded: the source is paused if enough data is ready, and the lane skips this flow if enough data is on
 * the way.
 *
 * The end of the stream and a reset pass through the lane like data, so that they arrive after the data sent before them. A
 * reset drops data that has not been sent yet, as a kernel does.
 */
import type { Socket } from 'node:net'
import type { Lane, Sender, Slice } from './lane.ts'

interface Entry {
  what: Buffer | 'end' | 'reset'
  /** Time of arrival from the source. */
  readyMs: number
}

export class Flow implements Sender {
  readonly #source: Socket
  readonly #target: Socket
  readonly #lane: Lane
  #ready: Entry[] = []
  #readyBytes = 0
  #onTheWayBytes = 0
  #offered = false
  #finished: 'end' | 'reset' | undefined

  /** Reading from the source starts with `open`. */
  constructor(source: Socket, target: Socket, lane: Lane) {
    this.#source = source
    this.#target = target
    this.#lane = lane
    source.pause()
    source.on('data', (chunk: Buffer) => this.#onData(chunk))
    source.on('end', () => this.#finish('end'))
    source.on('error', () => this.#finish('reset'))
    source.on('close', () => {
      // Closed without an end: this side destroyed the socket.
      if (this.#finished === undefined) this.#finish('reset')
    })
    target.on('drain', () => this.#offer())
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
    // False for the last two slices: a short last slice is due so soon after the one before it that it would be late.
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
    this.#ready.push({ what, readyMs: performance.now() })
    this.#offer()
  }

  #offer(): void {
    if (this.#offered || this.#ready.length === 0 || !this.#hasRoom()) return
    this.#offered = true
    this.#lane.offer(this)
  }

  /** True if another slice may be sent. The end and a reset need no space. */
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
      this.#lane.deliveredBytes += slice.length
    }
    this.#offer()
  }

  #close(how: 'end' | 'reset'): void {
    if (how === 'end') this.#target.end()
    else this.#target.resetAndDestroy()
  }
}
