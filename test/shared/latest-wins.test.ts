/** Keyed slots: over random interleavings nothing leaks, nothing is lost, and the last word wins. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LatestWins } from '../../shared/platform/latest-wins.ts'

interface Loaded {
  version: string
  users: 'held' | 'retired' | 'freed'
}

type Step = { kind: 'set'; key: string; version: string; fails: boolean } | { kind: 'release'; key: string }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      key: fc.constantFrom('a', 'b'),
      version: fc.constantFrom('1', '2', '3'),
      fails: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('release' as const), key: fc.constantFrom('a', 'b') }),
  },
)

function open() {
  const loaded: Loaded[] = []
  const move = (value: Loaded, to: 'retired' | 'freed') => {
    if (value.users !== 'held') throw new Error(`version ${value.version} was handed over twice`)
    value.users = to
  }
  const slots = new LatestWins<Loaded, string>({
    retire: (_key, _version, value) => move(value, 'retired'),
    free: (value) => move(value, 'freed'),
  })
  const make = (version: string): Loaded => {
    const value: Loaded = { version, users: 'held' }
    loaded.push(value)
    return value
  }
  return { slots, loaded, make }
}

describe('a keyed slot', () => {
  it('holds exactly the last word, whatever the order in which loads end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(step, { maxLength: 12 }), async (scheduler, steps) => {
        const { slots, loaded, make } = open()
        // The words of each key since its last release that could be loaded, in their order.
        const words = new Map<string, string[]>([
          ['a', []],
          ['b', []],
        ])
        const started = scheduler.scheduleSequence(
          steps.map((one) => async () => {
            if (one.kind === 'release') {
              words.set(one.key, [])
              void slots.release(one.key)
              return
            }
            const { key, version, fails } = one
            // Whoever asks for a version that is there or on its way shares its fate.
            const shared = slots.find(key, version) !== undefined
            const load = async () => {
              await scheduler.schedule(Promise.resolve(), `load ${version} of ${key}`)
              if (fails) throw new Error(`${version} cannot be loaded`)
              return make(version)
            }
            slots.set(key, version, version, load).catch(() => undefined)
            if (!shared && !fails) words.get(key)?.push(version)
            if (shared)
              words.set(key, [
                ...(words.get(key) ?? []).filter((word) => word !== version),
                ...own(words, key, version),
              ])
          }),
        )
        await scheduler.waitFor(started.task.then(async () => await settled(slots)))
        for (const key of ['a', 'b']) {
          const wanted = words.get(key)?.at(-1)
          const latest = slots.latest(key)
          expect(latest?.version).toBe(wanted)
          if (latest) {
            expect(latest.state).toBe('ready')
            expect((await latest.value).users).toBe('held')
          }
        }
        const current = ['a', 'b'].filter((key) => slots.latest(key) !== undefined).length
        expect(loaded.filter(({ users }) => users === 'held')).toHaveLength(current)
      }),
      { numRuns: 500 },
    )
  })

  it('shares a load between those who want the same, and its failure too', async () => {
    const { slots, make } = open()
    let loads = 0
    const load = () => {
      loads += 1
      return Promise.resolve(make('1'))
    }
    const [first, second] = await Promise.all([slots.set('a', '1', '', load), slots.set('a', '1', '', load)])
    expect(first).toBe(second)
    expect(loads).toBe(1)
    const fail = () => Promise.reject(new Error('no'))
    const outcomes = await Promise.allSettled([slots.set('a', '2', '', fail), slots.set('a', '2', '', fail)])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(slots.latest('a')?.version).toBe('1')
  })

  it('is not filled by a load that throws before it returns a promise', async () => {
    const { slots } = open()
    const load = () => {
      throw new Error('at once')
    }
    await expect(slots.set('a', '1', '', load)).rejects.toThrow('at once')
    expect(slots.keys()).toEqual([])
  })

  it('frees what a release overtook, also when the load hangs until then, and says so to its caller', async () => {
    const { slots, loaded, make } = open()
    let finish = () => {}
    const hanging = new Promise<void>((resolve) => {
      finish = resolve
    })
    const set = slots.set('a', '1', '', async () => {
      await hanging
      return make('1')
    })
    const released = slots.release('a')
    expect(slots.latest('a')).toBeUndefined()
    finish()
    await expect(set).rejects.toMatchObject({ code: 'conflict', message: /was released/ })
    await released
    expect(loaded).toEqual([{ version: '1', users: 'freed' }])
  })

  it('retires what a newer version replaced, and frees an older one that ends later', async () => {
    const { slots, loaded, make } = open()
    const gates: (() => void)[] = []
    const gated = (version: string) => async () => {
      await new Promise<void>((resolve) => gates.push(resolve))
      return make(version)
    }
    const sets = ['1', '2', '3'].map((version) => slots.set('a', version, '', gated(version)))
    gates[0]?.()
    await sets[0]
    gates[2]?.()
    await sets[2]
    gates[1]?.()
    await expect(sets[1]).rejects.toMatchObject({ code: 'conflict', message: /replaced by 3/ })
    expect(loaded).toEqual([
      { version: '1', users: 'retired' },
      { version: '3', users: 'held' },
      { version: '2', users: 'freed' },
    ])
  })
})

/** A version that was wanted again moves to the end, if its load is one that succeeds. */
function own(words: ReadonlyMap<string, string[]>, key: string, version: string): string[] {
  return words.get(key)?.includes(version) ? [version] : []
}

async function settled(slots: LatestWins<Loaded, string>): Promise<void> {
  for (let pass = 0; pass < 50; pass += 1) {
    const values = ['a', 'b'].flatMap((key) =>
      ['1', '2', '3'].flatMap((version) => slots.find(key, version) ?? []),
    )
    await Promise.allSettled(values)
    await Promise.resolve()
  }
}
