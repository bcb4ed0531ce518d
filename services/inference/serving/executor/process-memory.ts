/** Watches the memory of the processes of stages: together they may have so much, and the one that grew most is at fault. */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { StageProcess } from './stage-process.ts'

const POLL_MS = 25

export class ProcessMemory {
  readonly #limitBytes: number
  readonly #processes = new Set<StageProcess>()
  #poll: NodeJS.Timeout | undefined

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Watches a process until it ends. */
  add(one: StageProcess): void {
    this.#processes.add(one)
    this.#poll ??= setInterval(() => this.#check(), POLL_MS).unref()
    void one.ended.then(() => {
      this.#processes.delete(one)
      if (this.#processes.size > 0) return
      clearInterval(this.#poll)
      this.#poll = undefined
    })
  }

  #check(): void {
    // None grows that does nothing.
    if (![...this.#processes].some(({ busy }) => busy)) return
    let sum = 0
    for (const one of this.#processes) sum += one.ownBytes()
    if (sum <= this.#limitBytes) return
    const working = [...this.#processes].filter(({ busy, alive }) => busy && alive)
    const [most] = working.toSorted((a, b) => b.grownBytes() - a.grownBytes())
    most?.kill(memoryExceeded(this.#limitBytes))
  }
}

const memoryExceeded = (limitBytes: number) =>
  new ScissionError(
    'payloadTooLarge',
    `the values of the inputs need more memory than there is: the processes of stages may have ${limitBytes} bytes together; ` +
      'SCISSION_TRIAL_MEMORY_BYTES sets the limit',
    { reason: 'memory', limit: limitBytes },
  )
