import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FairLine } from '../../shared/platform/fair-line.ts'

const lineOf = (...items: string[]) => {
  const line = new FairLine<string>()
  for (const item of items) line.add(item[0] ?? '', item)
  return line
}
const rest = (line: FairLine<string>) => Array.from({ length: line.length }, () => line.take())

describe('a fair line', () => {
  it('takes from each client in turn, its oldest first', () => {
    expect(rest(lineOf('a1', 'a2', 'a3', 'b1', 'b2', 'c1'))).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  })

  it('lets who comes go before who had the last turn, but not one after another', () => {
    const line = lineOf('a1', 'a2', 'a3')
    expect(line.take()).toBe('a1')
    for (const item of ['b1', 'c1', 'd1']) line.add(item[0] ?? '', item)
    expect(rest(line)).toEqual(['b1', 'a2', 'c1', 'd1', 'a3'])
  })

  it('leaves out a client that may have nothing now, which keeps its turn', () => {
    const line = lineOf('a1', 'b1')
    expect(line.take((client) => client !== 'a')).toBe('b1')
    line.add('b', 'b2')
    expect(rest(line)).toEqual(['a1', 'b2'])
    expect(lineOf('a1').take(() => false)).toBeUndefined()
  })

  it('gives back the newest of who has most, for who would have less', () => {
    const line = lineOf('a1', 'a2', 'a3', 'b1')
    expect(line.displaceFor('a')).toBeUndefined()
    expect(line.displaceFor('c')).toBe('a3')
    expect(line.displaceFor('b')).toBeUndefined()
    // With what it has elsewhere, b has most.
    expect(line.displaceFor('c', (client) => (client === 'b' ? 2 : 0))).toBe('b1')
    expect(line.displaceFor('c', (client) => (client === 'a' ? Infinity : 0))).toBeUndefined()
    expect(rest(line)).toEqual(['a1', 'a2'])
  })

  it('loses nothing, and takes what a client adds in its order, whatever happens', () => {
    const step = fc.record({ what: fc.constantFrom('add', 'take', 'remove', 'displace'), client: fc.nat(3) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const line = new FairLine<number>()
        const here = new Map<number, string>()
        let next = 0
        for (const { what, client } of steps) {
          const name = String(client)
          if (what === 'add') {
            here.set(next, name)
            line.add(name, next++)
          } else if (what === 'remove') {
            const [some] = [...here].find(([, owner]) => owner === name) ?? [-1]
            expect(line.remove(name, some)).toBe(here.delete(some))
          } else {
            const item = what === 'take' ? line.take() : line.displaceFor(name)
            const all = [...here]
            if (item === undefined) {
              if (what === 'take') expect(all).toEqual([])
              continue
            }
            const own = all.filter(([, owner]) => owner === here.get(item)).map(([one]) => one)
            expect(item).toBe(what === 'take' ? own[0] : own.at(-1))
            here.delete(item)
          }
          expect([line.length, line.items().toSorted((a, b) => a - b)]).toEqual([here.size, [...here.keys()]])
        }
      }),
    )
  })
})
