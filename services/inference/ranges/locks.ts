/** One at a time per name: whoever asks for the same file waits, and then finds the work done. */
export class Locks {
  readonly #tails = new Map<string, Promise<void>>()

  /**
   * Runs `work` when all earlier work under `name` has ended, however it ended.
   * @throws the signal's reason when aborted while waiting; what `work` throws otherwise.
   */
  async run<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve()
    const { promise: done, resolve: free } = deferred()
    const tail = before.then(() => done)
    this.#tails.set(name, tail)
    try {
      await unlessAborted(before, signal)
      return await work()
    } finally {
      free()
      if (this.#tails.get(name) === tail) this.#tails.delete(name)
    }
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => (resolve = settle))
  return { promise, resolve }
}

async function unlessAborted(wait: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  if (signal === undefined) return wait
  let onAbort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    await Promise.race([wait, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
