/** Work on many things, some at a time. */
import { describe, expect, it } from 'vitest'
import { eachOf } from '../../../shared/platform/each-of.ts'

const numbers = Array.from({ length: 20 }, (_, index) => index)
const later = () => new Promise((resolve) => setImmediate(resolve))

describe('work on each of many things', () => {
  it('goes on with a few at a time, and gives the results in order', async () => {
    let [now, most] = [0, 0]
    const results = await eachOf(numbers, 4, async (number) => {
      now += 1
      most = Math.max(most, now)
      // The later ones are done sooner.
      for (let wait = number; wait < numbers.length; wait++) await later()
      now -= 1
      return 2 * number
    })
    expect(results).toEqual(numbers.map((number) => 2 * number))
    expect(most).toBe(4)
  })

  it('begins nothing after a failure, and ends when all that began has ended', async () => {
    const begun: number[] = []
    const ended: number[] = []
    const work = eachOf(numbers, 3, async (number) => {
      begun.push(number)
      if (number === 1) throw new Error('the second one fails')
      for (let wait = 0; wait < 5; wait++) await later()
      ended.push(number)
    })
    await expect(work).rejects.toThrow('the second one fails')
    expect(begun).toEqual([0, 1, 2])
    expect(ended).toEqual([0, 2])
  })

  it('throws the first failure, whatever it is', async () => {
    await expect(eachOf([1], 1, () => Promise.reject(undefined))).rejects.toBeUndefined()
  })
})
