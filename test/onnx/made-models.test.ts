/**
 * What holds for every model, on models that no one would write: bodies in functions in bodies, shadowed names, operators'
 * names in other domains, sequences, odd types, patterns that are fused. A sample; `npm run bench -- made-models` takes
 * thousands. To see one again: `npm run bench -- made-models --seed SEED --count 1 --keep FOLDER`.
 */
import { describe, expect, it } from 'vitest'
import { PATIENCE_MS } from '../support/patience.ts'
import { checkMadeModels } from './made/check-models.ts'
import type { Outcome } from './made/check-model.ts'
import { makeModel } from './made/make-model.ts'
import { encode } from './support/build.ts'

const SEED = 20_261_129
const COUNT = 40

/** Share of models that ONNX Runtime itself may refuse. */
const MOST_SET_ASIDE = 0.2

const faultsOf = (outcomes: readonly Outcome[]) =>
  outcomes.flatMap(({ seed, pieces, faults }) =>
    faults.map((fault) => ({ seed, ...fault, pieces: pieces.join(' ') })),
  )

describe('made models', () => {
  it(`are taken if ONNX Runtime runs them, and equal the whole at every allowed cut (seeds from ${SEED})`, {
    timeout: 20 * PATIENCE_MS,
  }, async () => {
    const outcomes = await checkMadeModels({ seed: SEED, count: COUNT, processes: 2 })
    expect(faultsOf(outcomes)).toEqual([])
    const counted = outcomes.filter(({ setAside }) => setAside === undefined)
    expect(counted.length).toBeGreaterThan(COUNT * (1 - MOST_SET_ASIDE))
    expect(counted.reduce((sum, { cuts }) => sum + cuts.allowed, 0)).toBeGreaterThan(COUNT)
  })

  it('are the same for the same seed, and others for another', () => {
    const bytes = (seed: number) => Buffer.from(encode(makeModel(seed).model)).toString('base64')
    expect(bytes(SEED)).toBe(bytes(SEED))
    expect(bytes(SEED)).not.toBe(bytes(SEED + 1))
  })
})
