/** The laws of a keyed latest-wins slot, over random interleavings of its callers and its loads. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LatestWins } from '../../shared/platform/latest-wins.ts'

/**
 * How a load ends. `hangs`: with its signal only, and then by failing. `late`: with its signal only, and then with a
 * value all the same.
 */
type Outcome = 'made' | 'fails' | 'hangs' | 'late'

interface Load {
  key: string
  version: string
  outcome: Outcome
  value: number | undefined
}

const word = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'release'),
  key: fc.constantFrom('k', 'l'),
  version: fc.constantFrom('A', 'B', 'C'),
  outcome: fc.constantFrom<Outcome>('made', 'made', 'fails', 'hangs', 'late'),
})
const byNumber = (a: number, b: number) => a - b
type Word = { kind: string; key: string; version: string; outcome: Outcome }

/** Slots whose loads end when the scheduler says, with all that becomes of their values written down. */
class Bench {
  readonly loads: Load[] = []
  /** In the order in which they were said. */
  readonly said: { word: Word; load: Load | undefined }[] = []
  readonly freed: number[] = []
  readonly faults: string[] = []
  readonly slots: LatestWins<number>
  readonly #scheduler: fc.Scheduler
  #values = 0

  constructor(scheduler: fc.Scheduler) {
    this.#scheduler = scheduler
    const free = async (value: number) => {
      await scheduler.schedule(Promise.resolve(), `free ${value}`)
      this.freed.push(value)
    }
    this.slots = new LatestWins({ free, retire: (_key, _version, value) => free(value) })
  }

  async #load({ key, version, outcome }: Word, signal: AbortSignal): Promise<number> {
    const load: Load = { key, version, outcome, value: undefined }
    this.loads.push(load)
    if (load.outcome === 'hangs' || load.outcome === 'late')
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    await this.#scheduler.schedule(Promise.resolve(), `load ${version} ${load.outcome}`)
    if (load.outcome === 'fails') throw new Error('cannot be made')
    if (load.outcome === 'hangs') throw new Error('stopped')
    this.#values += 1
    load.value = this.#values
    return load.value
  }

  say(word: Word): void {
    const { kind, key, version } = word
    if (kind === 'release') {
      this.said.push({ word, load: undefined })
      void this.slots.release(key)
      if (this.slots.latest(key)) this.faults.push(`${key} holds something after its release`)
      return
    }
    const before = this.loads.length
    const current = this.current(key)
    this.slots
      .set(key, version, undefined, (signal) => this.#load(word, signal))
      .catch((error: unknown) => {
        const expected = /was (released|replaced by [ABC]) while it was being loaded|cannot be made|stopped/
        if (!expected.test(String(error))) this.faults.push(String(error))
      })
    const load =
      this.loads.length > before
        ? this.loads.at(-1)
        : this.loads.findLast((known) => known.key === key && known.version === version)
    this.said.push({ word, load })
    if (current && this.current(key) !== current) this.faults.push(`${key} lost what it had to a load`)
  }

  /** All values made so far, in order. */
  made(): number[] {
    return this.loads.flatMap(({ value }) => (value === undefined ? [] : [value])).sort(byNumber)
  }

  /** By the definition: the last set since the last release whose load made something. */
  expected(key: string): number | undefined {
    const own = this.said.filter(({ word }) => word.key === key)
    const since = own.slice(own.findLastIndex(({ word }) => word.kind === 'release') + 1)
    return since.findLast(({ load }) => load?.outcome === 'made')?.load?.value
  }

  current(key: string): Promise<number> | undefined {
    const latest = this.slots.latest(key)
    return latest?.state === 'ready' ? latest.value : undefined
  }
}

describe('a latest-wins slot', () => {
  it('leaks nothing, loses nothing and holds what was wanted last, in every interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(word, { maxLength: 10 }), async (scheduler, words) => {
        const bench = new Bench(scheduler)
        for (const one of words)
          void scheduler.schedule(Promise.resolve(), JSON.stringify(one)).then(() => bench.say(one))
        await scheduler.waitIdle()
        expect(bench.faults).toEqual([])
        const held = await Promise.all(['k', 'l'].map((key) => bench.current(key)))
        expect(held).toEqual(['k', 'l'].map((key) => bench.expected(key)))
        const kept = held.filter((value) => value !== undefined)
        expect([...bench.freed, ...kept].sort(byNumber)).toEqual(bench.made())

        const closed = Promise.all(bench.slots.keys().map((key) => bench.slots.release(key)))
        await scheduler.waitIdle()
        await closed
        expect(bench.slots.keys()).toEqual([])
        expect([...bench.freed].sort(byNumber)).toEqual(bench.made())
      }),
      { numRuns: 2000 },
    )
  })

  it('has freed everything when a release resolves, what a stopped load still brings included', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(word, { maxLength: 6 }), async (scheduler, words) => {
        const bench = new Bench(scheduler)
        for (const one of words) if (one.kind === 'set') bench.say({ ...one, key: 'k' })
        let released = false
        const check = bench.slots.release('k').then(() => {
          released = true
          expect([...bench.freed].sort(byNumber)).toEqual(bench.made())
        })
        await scheduler.waitIdle()
        await check
        expect(released).toBe(true)
      }),
    )
  })
})

describe('what callers of a latest-wins slot are told', () => {
  const slotsOf = (freed: string[] = []) => {
    const free = (value: string) => void freed.push(value)
    return new LatestWins<string, number>({ free, retire: (_key, _version, value) => free(value) })
  }
  const hangs = () => new Promise<string>(() => {})
  const brings = (value: string) => () => Promise.resolve(value)

  it('one whose key is released hears so at once, though the load hangs', async () => {
    const slots = slotsOf()
    const waiting = slots.set('k', 'A', 1, hangs)
    void slots.release('k')
    const message = 'k was released while it was being loaded'
    await expect(waiting).rejects.toMatchObject({ code: 'conflict', message })
  })

  it('one that a later version overtakes hears so; the same version twice shares one load', async () => {
    const freed: string[] = []
    const slots = slotsOf(freed)
    const early = slots.set('k', 'A', 1, hangs)
    await expect(
      Promise.all([slots.set('k', 'B', 2, brings('b')), slots.set('k', 'B', 3, hangs)]),
    ).resolves.toEqual(['b', 'b'])
    const message = 'k was replaced by B while it was being loaded'
    await expect(early).rejects.toMatchObject({ code: 'conflict', message })
    expect(slots.latest('k')).toMatchObject({ version: 'B', about: 3, state: 'ready' })
    expect(freed).toEqual([])
  })

  it('one who wants what is current takes back a later version that is still loading', async () => {
    const slots = slotsOf()
    await slots.set('k', 'A', 1, brings('a'))
    const other = slots.set('k', 'B', 2, hangs)
    await expect(slots.set('k', 'A', 3, hangs)).resolves.toBe('a')
    await expect(other).rejects.toThrow('replaced by A')
  })

  it('a release of some versions leaves the others', async () => {
    const freed: string[] = []
    const slots = slotsOf(freed)
    await slots.set('k', 'A', 1, brings('a'))
    const other = slots.set('k', 'B', 2, hangs)
    void slots.release('k', (about) => about === 2)
    await expect(other).rejects.toThrow('released')
    expect([slots.latest('k')?.version, freed]).toEqual(['A', []])
    await slots.release('k')
    expect([slots.latest('k'), slots.keys(), freed]).toEqual([undefined, [], ['a']])
  })

  it('the order of a key grows with every set, also of the same version', async () => {
    const slots = slotsOf()
    const orders = [slots.order('k')]
    for (const version of ['A', 'A', 'B']) {
      await slots.set('k', version, 1, brings(version))
      orders.push(slots.order('k'))
    }
    expect(orders).toEqual([...new Set(orders)].sort((a, b) => a - b))
    await slots.release('k')
    expect(slots.order('k')).toBe(0)
  })
})
