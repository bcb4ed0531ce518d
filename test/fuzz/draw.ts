/** Random choices of the fuzzer, from a seed: the same number makes the same input again. */
import { randomFrom } from '../support/random.ts'

export interface Draw {
  /** A whole number from 0 up to, without, `limit`; 0 if there is none. */
  below: (limit: number) => number
  /** @throws Error if the list is empty. */
  pick: <T>(list: readonly T[]) => T
  chance: (probability: number) => boolean
}

export function drawFrom(seed: number): Draw {
  const random = randomFrom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  return {
    below,
    chance: (probability) => random() < probability,
    pick: (list) => {
      const picked = list[below(list.length)]
      if (picked === undefined) throw new Error('there is nothing to pick from')
      return picked
    },
  }
}
