/** Holds up those who come to it until a test lets them go on. */

export interface Gate {
  /** They wait from now on, until the function it returns is called. */
  close: () => () => void
  /** Resolves at once unless it is closed. */
  opened: () => Promise<void>
  /** How many wait. */
  waiting: () => number
}

export function gate(): Gate {
  let closed: Promise<void> | undefined
  let waiting = 0
  return {
    close: () => {
      let open = () => {}
      closed = new Promise((resolve) => (open = resolve))
      return () => {
        closed = undefined
        open()
      }
    },
    opened: async () => {
      if (!closed) return
      waiting += 1
      await closed
      waiting -= 1
    },
    waiting: () => waiting,
  }
}
