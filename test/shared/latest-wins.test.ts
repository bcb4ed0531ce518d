/** The laws of a keyed latest-wins slot, over random interleavings of its callers and its loads. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LatestWins, Withdrawn } from '../../shared/platform/latest-wins.ts'

/**
 * How a load ends. `hangs`: with its signal only, and then by failing. `late`: with its signal only, and then with a
 * value all the same.
 */
type Outcome = 'made' | 'fails' | 'hangs' | 'late'

interface Load {
  key: string
  wish: string
  outcome: Outcome
  value: number | undefined
}

const word = fc.record({
  kind: fc.constantFrom('prepare', 'prepare', 'prepare', 'release'),
  key: fc.constantFrom('k', 'l'),
  wish: fc.constantFrom('A', 'B', 'C'),
  outcome: fc.constantFrom<Outcome>('made', 'made', 'fails', 'hangs', 'late'),
})
const byNumber = (a: number, b: number) => a - b
type Word = { kind: string; key: string; wish: string; outcome: Outcome }

/** Slots whose loads end when the scheduler says, with all that becomes of their values written down. */
class Bench {
  readonly loads: Load[] = []
  /** In the order in which they were said. */
  readonly said: { word: Word; load: Load | undefined }[] = []
  readonly freed: number[] = []
  readonly faults: string[] = []
  readonly slots: LatestWins<string, number>
  readonly #scheduler: fc.Scheduler
  #next: { key: string; outcome: Outcome } = { key: '', outcome: 'made' }
  #values = 0

  constructor(scheduler: fc.Scheduler) {
    this.#scheduler = scheduler
    const free = async (value: number) => {
      await scheduler.schedule(Promise.resolve(), `free ${value}`)
      this.freed.push(value)
    }
    this.slots = new LatestWins({
      load: (wish, signal) => this.#load(wish, signal),
      dispose: free,
      retire: free,
    })
  }

  async #load(wish: string, signal: AbortSignal): Promise<number> {
    const load: Load = { ...this.#next, wish, value: undefined }
    this.loads.push(load)
    if (load.outcome === 'hangs' || load.outcome === 'late')
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    await this.#scheduler.schedule(Promise.resolve(), `load ${wish} ${load.outcome}`)
    if (load.outcome === 'fails') throw new Error('cannot be made')
    if (load.outcome === 'hangs') throw new Error('stopped')
    this.#values += 1
    load.value = this.#values
    return load.value
  }

  say(word: Word): void {
    const { kind, key, wish, outcome } = word
    if (kind === 'release') {
      this.said.push({ word, load: undefined })
      void this.slots.release(key)
      if (this.slots.state(key) !== undefined) this.faults.push(`${key} holds something after its release`)
      return
    }
    this.#next = { key, outcome }
    const before = this.loads.length
    const ready = this.slots.state(key) === 'ready' ? this.slots.find(key) : undefined
    void this.slots.prepare(key, wish).catch((error: unknown) => {
      if (!(error instanceof Withdrawn) && !['cannot be made', 'stopped'].includes((error as Error).message))
        this.faults.push(String(error))
    })
    const load =
      this.loads.length > before
        ? this.loads.at(-1)
        : this.loads.findLast((known) => known.key === key && known.wish === wish)
    this.said.push({ word, load })
    if (ready && this.slots.find(key) !== ready) this.faults.push(`${key} lost what was ready to a wish`)
  }

  /** All values made so far, in order. */
  made(): number[] {
    return this.loads.flatMap(({ value }) => (value === undefined ? [] : [value])).sort(byNumber)
  }

  /** By the definition: the last prepare since the last release whose load made something. */
  expected(key: string): number | undefined {
    const own = this.said.filter(({ word }) => word.key === key)
    const since = own.slice(own.findLastIndex(({ word }) => word.kind === 'release') + 1)
    return since.findLast(({ load }) => load?.outcome === 'made')?.load?.value
  }

  async held(key: string): Promise<number | undefined> {
    return this.slots.state(key) === 'ready' ? this.slots.find(key) : undefined
  }
}

describe('a latest-wins slot', () => {
  it('leaks nothing, loses nothing and holds what was wished for last, in every interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(word, { maxLength: 10 }), async (scheduler, words) => {
        const bench = new Bench(scheduler)
        for (const one of words)
          void scheduler.schedule(Promise.resolve(), JSON.stringify(one)).then(() => bench.say(one))
        await scheduler.waitIdle()
        expect(bench.faults).toEqual([])
        const held = await Promise.all(['k', 'l'].map((key) => bench.held(key)))
        expect(held).toEqual(['k', 'l'].map((key) => bench.expected(key)))
        const kept = held.filter((value) => value !== undefined)
        expect([...bench.freed, ...kept].sort(byNumber)).toEqual(bench.made())

        const closed = bench.slots.close()
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
        for (const one of words) if (one.kind === 'prepare') bench.say({ ...one, key: 'k' })
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
  const never = () => new Promise<string>(() => {})
  const slotsOf = (loads: Record<string, Promise<string>>, freed: string[] = []) =>
    new LatestWins<string, string>({
      load: (wish) => loads[wish] ?? never(),
      dispose: (value) => void freed.push(value),
    })

  it('a prepare that is released hears so at once, though its load hangs', async () => {
    const slots = slotsOf({})
    const waiting = slots.prepare('k', 'A')
    void slots.release('k')
    await expect(waiting).rejects.toMatchObject({ name: 'Withdrawn', reason: 'released' })
  })

  it('a prepare that a later one overtakes hears so; the same wish twice shares one load', async () => {
    const freed: string[] = []
    const slots = slotsOf({ B: Promise.resolve('b') }, freed)
    const early = slots.prepare('k', 'A')
    await expect(Promise.all([slots.prepare('k', 'B'), slots.prepare('k', 'B')])).resolves.toEqual(['b', 'b'])
    await expect(early).rejects.toMatchObject({ name: 'Withdrawn', reason: 'superseded' })
    expect([slots.state('k'), slots.wish('k'), freed]).toEqual(['ready', 'B', []])
  })

  it('a wish for what is ready already takes back a later wish that still loads', async () => {
    const slots = slotsOf({ A: Promise.resolve('a') })
    await slots.prepare('k', 'A')
    const other = slots.prepare('k', 'B')
    await expect(slots.prepare('k', 'A')).resolves.toBe('a')
    await expect(other).rejects.toMatchObject({ reason: 'superseded' })
  })

  it('a release of some wishes leaves the others', async () => {
    const freed: string[] = []
    const slots = slotsOf({ A: Promise.resolve('a') }, freed)
    await slots.prepare('k', 'A')
    const other = slots.prepare('k', 'B')
    void slots.release('k', (wish) => wish === 'B')
    await expect(other).rejects.toMatchObject({ reason: 'released' })
    expect([slots.wish('k'), freed]).toEqual(['A', []])
    await slots.release('k')
    expect([slots.wish('k'), freed]).toEqual([undefined, ['a']])
  })
})
