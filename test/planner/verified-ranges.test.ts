/** Deployments for a range of shapes are verified at both ends of it as well. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Structure } from '../../shared/contracts/model.ts'
import { shapesKeyOf } from '../../shared/onnx/canonical/shapes-key.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { profileId, structureId } from '../../shared/platform/redis/state.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { layer, type ToyModel, toyModel, toySpec } from '../inference/support/toy-models.ts'
import { exampleProfile } from '../support/fixtures.ts'
import { stagesOf, TIERS, useVerification } from './verified-deployments.ts'

const PLANNED = { x: [1, 4] }

/**
 * x [1, n] → a = x + 1 → y = 2a, of any length.
 * @param off how far off `y` is behind a cut, by its length. @param refuse the error of `y` for a length, if there is one.
 */
function varying(
  id: string,
  name: string,
  off: (length: number) => number,
  refuse: (length: number, isWhole: boolean) => ScissionError | undefined = () => undefined,
): ToyModel {
  let made: Tensor | undefined
  const shape = [1, -1]
  const a = layer('a', ['x'], shape, (x) => x + 1)
  const y = layer('y', ['a'], shape, (value) => 2 * value)
  const layers = [
    { ...a, run: (inputs: Tensor[]) => a.run(inputs).map((tensor) => (made = tensor)) },
    {
      ...y,
      run: (inputs: Tensor[]) => {
        const length = inputs[0]?.shape[1] ?? 0
        const isWhole = inputs[0] === made
        const refusal = refuse(length, isWhole)
        if (refusal) throw refusal
        const seam = isWhole ? 0 : off(length)
        return layer('y', ['a'], shape, (value) => 2 * value + seam).run(inputs)
      },
    },
  ]
  return toyModel(id, [toySpec('x', 'FP32', shape)], ['y'], layers, { name })
}

const tooLarge = (length: number) =>
  new ScissionError('payloadTooLarge', `the inputs x:1x${length} are too much for this resource`)
const even = varying('1', 'even', () => 0)
const longOff = varying('2', 'long-off', (length) => (length > 50 ? 0.5 : 0))
const shortOff = varying('3', 'short-off', (length) => (length < 3 ? 0.5 : 0))
const hungry = varying(
  '4',
  'hungry',
  () => 0,
  (length) => (length > 50 ? tooLarge(length) : undefined),
)
const hungryWhole = varying(
  '5',
  'hungry-whole',
  () => 0,
  (length, isWhole) => (length > 50 && isWhole ? tooLarge(length) : undefined),
)
const noEmpty = varying(
  '6',
  'no-empty',
  () => 0,
  (length) =>
    length === 0 ? new ScissionError('invalidValues', 'there is no maximum of nothing') : undefined,
)
const toys = [even, longOff, shortOff, hungry, hungryWhole, noEmpty] as const

/** The structure of a toy with the shapes that its plans are made for. */
function fixed({ model, structure }: ToyModel): Structure {
  const { open: _open, ...others } = structure
  const sized = (spec: Structure['inputs'][number]) => ({ ...spec, shape: [1, 4], bytes: 16 })
  return {
    ...others,
    model: model.id,
    shapesKey: shapesKeyOf(PLANNED),
    inputShapes: PLANNED,
    inputs: structure.inputs.map(sized),
    outputs: structure.outputs.map(sized),
    layers: structure.layers.map((one) => ({ ...one, outputs: one.outputs.map(sized) })),
  }
}

const { services, deploy, nothingElseHeld } = useVerification(toys)
beforeAll(async () => {
  const { structures, profiles } = services.state
  for (const toy of toys) {
    const { model, shapesKey } = fixed(toy)
    await structures.put(structureId(model, shapesKey), fixed(toy))
    // What the open structure was tried with.
    const tried = { ...toy.structure, inputShapes: PLANNED }
    await structures.put(structureId(model, tried.shapesKey), tried)
    for (const tier of TIERS) {
      const profile = exampleProfile(tier, [1, 1], { model, shapesKey })
      await profiles.put(profileId(profile), { ...profile, id: profileId(profile) })
    }
  }
})

const deployFor = (toy: ToyModel, range: string, cuts = [1]) =>
  deploy({ ...toy, structure: fixed(toy) }, stagesOf(toy, cuts), { shapes: { x: ['1', range] } })
/** The shapes of the inputs with which runs began on any resource, each once. */
const lengthsRun = () =>
  [
    ...new Set(
      TIERS.flatMap((tier) => services.engineOf(tier).runs.map(({ inputs }) => inputs[0]?.shape[1] ?? 0)),
    ),
  ].sort((a, b) => a - b)

describe('a deployment for a range of shapes', () => {
  it('is ready once the split gave what the whole model gives in between and at both ends', async () => {
    const { state, verification } = await deployFor(even, '2..100')
    expect([state, verification?.outcome, verification?.reason]).toEqual(['ready', 'equal', undefined])
    expect(verification?.comparisons.map(({ inputShapes, equal }) => [inputShapes, equal])).toEqual([
      [{ x: [1, 4] }, true],
      [{ x: [1, 2] }, true],
      [{ x: [1, 100] }, true],
    ])
    expect(lengthsRun()).toEqual([2, 4, 100])
  })

  it('runs no size twice', async () => {
    const { verification } = await deployFor(even, '4..9')
    expect(verification?.comparisons.map(({ inputShapes }) => inputShapes?.['x'])).toEqual([
      [1, 4],
      [1, 9],
    ])
  })

  it.each([
    [longOff, 'the largest inputs x:1x100', 3],
    [shortOff, 'the smallest inputs x:1x2', 2],
  ] as const)('fails if the split differs at an end only, which is named', async (toy, end, comparisons) => {
    const { state, error, verification } = await deployFor(toy, '2..100')
    expect([state, verification?.outcome]).toEqual(['failed', 'different'])
    expect(error).toContain(`with ${end} (made-up): output "y" is off by up to 5.00e-1`)
    expect(error).toContain('boundary 1')
    expect(verification?.comparisons).toHaveLength(comparisons)
    expect(verification?.comparisons.at(-1)?.equal).toBe(false)
    await nothingElseHeld([], [], [])
  })

  it('fails if an end is too much for its machine, and says which, why, and what to do', async () => {
    const { state, error, verification } = await deployFor(hungry, '2..100', [])
    expect([state, verification?.outcome]).toEqual(['failed', 'refused'])
    expect(error).toMatch(
      /is to take the largest inputs x:1x100, but does not: .*too much for this resource.*smaller range of shapes.*verify: false/,
    )
    expect(verification?.comparisons.map(({ equal }) => equal)).toEqual([true, true])
    await nothingElseHeld([], [], [])
  })

  it('fails if an end is too much for a machine behind the first, and names both', async () => {
    const { state, error } = await deployFor(hungry, '2..100')
    expect([state, error]).toEqual([
      'failed',
      expect.stringMatching(/the largest inputs x:1x100.*hop edge .*too much for this resource/),
    ])
    await nothingElseHeld([], [], [])
  })

  it('fails if the model does not run with an end', async () => {
    const { error } = await deployFor(noEmpty, '0..8')
    expect(error).toMatch(/is to take the smallest inputs x:1x0, but does not: .*no maximum of nothing/)
  })

  it('fails for an end that nobody could send, before it is made', async () => {
    const { error } = await deployFor(even, '2..999999999999999')
    expect(error).toMatch(/the largest inputs x:1x999999999999999, but does not: .*SCISSION_VERIFY_BYTES=/)
    expect(lengthsRun()).toEqual([2, 4])
  })

  it('is ready where only the whole model is too much, and says with which end nothing was compared', async () => {
    const { state, verification } = await deployFor(hungryWhole, '2..100')
    expect([state, verification?.outcome]).toEqual(['ready', 'equal'])
    expect(verification?.reason).toMatch(
      /nothing was compared with the largest inputs x:1x100, though the split runs: no resource could run the whole model/,
    )
  })
})
