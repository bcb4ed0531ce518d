/**
 * The error when no plan satisfies a query, checked by trying every plan, in both views: the conflict is real and
 * smallest, every remedy that is named lets a plan appear, and no remedy asks for more than it must.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { optimise, optimiseGraph } from '../../shared/planning/index.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { runs } from '../support/runs.ts'
import { tryAll } from './brute-force.ts'
import { cases } from './chain-cases.ts'
import {
  type Change,
  changed,
  changesIn,
  described,
  dropped,
  isDroppable,
  isOf,
  queryOf,
  short,
} from './described.ts'
import { tryAllPlacements } from './graph-brute-force.ts'
import { cases as graphCases, SUMS } from './graph-solve.ts'
import { EXACT, FREE, threeTiers } from './problems.ts'

const TIMEOUT_MS = runs(300_000, 1_200_000)

/** With more constraints, finding a smallest conflict here takes too long. */
const MAX_FOR_SMALLEST = 12

interface Seen {
  conflicts: number
  several: number
  /** Remedies that change more than one constraint. */
  joint: number
  kinds: Set<string>
}

/** @param none whether no plan satisfies the constraints. */
function checkConflict(
  error: ScissionError,
  all: readonly string[],
  none: (demands: readonly string[]) => boolean,
  seen: Seen,
): void {
  const { conflict, remedies, minimal } = error.details as {
    conflict: string[]
    remedies: string[]
    minimal: boolean
  }
  expect(minimal).toBe(true)
  expect(none(conflict)).toBe(true)
  if (all.length <= MAX_FOR_SMALLEST)
    for (const set of subsets(all, conflict.length - 1)) expect(none(set)).toBe(false)
  expect(remedies.length).toBe(conflict.length)
  remedies.forEach((remedy, at) => {
    const changes = changesIn(remedy)
    expect(isOf(changes[0]!, conflict[at]!), remedy).toBe(true)
    checkRemedy(changes, all, conflict, none)
    for (const { field } of changes) seen.kinds.add(field)
    if (changes.length > 1) seen.joint += 1
  })
  seen.conflicts += 1
  if (conflict.length > 1) seen.several += 1
}

function checkRemedy(
  changes: readonly Change[],
  all: readonly string[],
  conflict: readonly string[],
  none: (demands: readonly string[]) => boolean,
): void {
  let made = all
  changes.forEach((change, at) => {
    const later = changes.slice(at + 1)
    const less = short(change)
    const rest = later.reduce(dropped, made)
    // Not to make the change does not do, whatever is done after it; nor does making it by a little less.
    expect(none(rest), change.text).toBe(true)
    if (change.value !== undefined && less) expect(none(changed(rest, less)), change.text).toBe(true)
    made = changed(made, change)
  })
  expect(none(made), changes.map(({ text }) => text).join()).toBe(false)
  // As few constraints outside the conflict as possible are changed.
  const others = all.filter((one) => !conflict.includes(one))
  const rest = dropped(all, changes[0]!)
  if (changes.length > 1 && all.length <= MAX_FOR_SMALLEST)
    for (const set of subsets(others, changes.length - 2))
      expect(none(rest.filter((one) => !set.includes(one)))).toBe(true)
}

/** Constraints that can be part of a conflict, and those that always hold. */
function demandsIn(all: readonly string[]): { demands: string[]; fixed: string[] } {
  return {
    demands: all.filter((one) => isDroppable(one, all)),
    fixed: all.filter((one) => !isDroppable(one, all)),
  }
}

function infeasible(ask: () => unknown): ScissionError | undefined {
  try {
    ask()
  } catch (thrown) {
    if (thrown instanceof ScissionError && thrown.code === 'infeasible') return thrown
    if (!(thrown instanceof ScissionError && thrown.code === 'notMeasured')) throw thrown
  }
  return undefined
}

const nothingSeen = (): Seen => ({ conflicts: 0, several: 0, joint: 0, kinds: new Set() })

const LIMITS_ON_SUMS = ['maxEnergyJ', 'maxPrice', 'maxTotalUploadBytes', 'maxTierShare', 'maxLatencyMs']
const LIMITS_ON_PARTS = ['maxTierMs', 'maxUploadBytes', 'maxMemoryBytes', 'minThroughput']

describe('when no plan satisfies the constraints', { timeout: TIMEOUT_MS }, () => {
  it('the chain view names a smallest conflict, and for each of it the nearest values that allow a plan', () => {
    const seen = nothingSeen()
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        const error = infeasible(() => optimise(problem, query))
        if (error === undefined) return
        const { demands, fixed } = demandsIn(described(problem, query))
        const none = (set: readonly string[]) =>
          tryAll(problem, queryOf(query, [...set, ...fixed])).length === 0
        checkConflict(error, demands, none, seen)
      }),
      { numRuns: runs(500, 2000), seed: 6 },
    )
    expect(seen.conflicts).toBeGreaterThan(70)
    expect(seen.several).toBeGreaterThan(30)
    expect(seen.joint).toBeGreaterThan(10)
    for (const kind of LIMITS_ON_SUMS) expect(seen.kinds).toContain(kind)
  })

  it('so does the graph view', () => {
    const seen = nothingSeen()
    fc.assert(
      fc.property(graphCases(EXACT, { budgets: 4, objectives: SUMS }, 4), ({ problem, query }) => {
        const error = infeasible(() => optimiseGraph(problem, query))
        if (error === undefined) return
        const { demands, fixed } = demandsIn(described(problem, query))
        const none = (set: readonly string[]) =>
          tryAllPlacements(problem, queryOf(query, [...set, ...fixed])) === undefined
        checkConflict(error, demands, none, seen)
      }),
      { numRuns: runs(150, 2000), seed: 7 },
    )
    expect(seen.conflicts).toBeGreaterThan(50)
    expect(seen.several).toBeGreaterThan(20)
    expect(seen.joint).toBeGreaterThan(10)
    for (const kind of [...LIMITS_ON_SUMS, ...LIMITS_ON_PARTS]) expect(seen.kinds).toContain(kind)
  })

  it('names the smaller of two conflicts', () => {
    const [, ...later] = threeTiers().structure.boundaries
    const given = threeTiers()
    const wide = [
      { ...given.structure.boundaries[0]!, bytes: 50 },
      ...later.map((boundary) => ({ ...boundary, bytes: 1000 })),
    ]
    const problem = { ...given, structure: { ...given.structure, boundaries: wide } }
    const ofThree = { firstLayersOnDevice: 1, minStages: 2, maxUploadBytes: { device: 100 } }
    const ofTwo = { mustUseTiers: ['edge'], mustNotUseTiers: ['edge'] }
    expect(() => optimise(problem, { ...FREE, ...ofThree })).toThrow(
      'no plan satisfies all of firstLayersOnDevice: 1, minStages: 2, maxUploadBytes: device:100; ' +
        'one would with firstLayersOnDevice at most 0, or with minStages at most 1, ' +
        'or with maxUploadBytes of device at least 1000',
    )
    expect(() => optimise(problem, { ...FREE, ...ofTwo, ...ofThree })).toThrow(
      'no plan satisfies all of mustUseTiers: edge, mustNotUseTiers: edge; one would without mustUseTiers: edge and ' +
        'with minStages at most 1, or without mustNotUseTiers: edge and with firstLayersOnDevice at most 0',
    )
  })
})

/** All with at most so many items. */
function subsets(items: readonly string[], most: number): string[][] {
  return items.reduce<string[][]>(
    (sets, item) => [...sets, ...sets.filter((set) => set.length < most).map((set) => [...set, item])],
    [[]],
  )
}
