import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OPTIMISATION_LEVELS } from '../../shared/contracts/resource.ts'
import { formatPlanId, parsePlanId, type PlanParts } from '../../shared/contracts/plan-id.ts'
import { MODEL, SHAPES } from './problems.ts'

const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,9}$/)

const decisions = fc.record({
  codec: fc.constantFrom(undefined, 'zstd', 'fp16', 'fp16-zstd', 'q8', 'q4c', 'q2c-zstd'),
  options: fc.option(
    fc.record({
      threads: fc.integer({ min: 1, max: 256 }),
      optimisation: fc.constantFrom(...OPTIMISATION_LEVELS),
    }),
    { nil: undefined },
  ),
})

/** Any plan: distinct resources, the source first or nowhere. */
const plans: fc.Arbitrary<PlanParts> = fc
  .tuple(
    fc.uniqueArray(name, { minLength: 2, maxLength: 6 }),
    fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 6, maxLength: 6 }),
    fc.boolean(),
    fc.array(decisions, { minLength: 6, maxLength: 6 }),
  )
  .map(([names, lengths, sourceRuns, decided]) => {
    const used = sourceRuns ? names : names.slice(1)
    let end = 0
    const stages = used.map((resource, index) => {
      const from = end
      end += lengths[index]!
      const { codec, options } = decided[index]!
      const receives = resource !== names[0]
      return {
        resource,
        from,
        to: end,
        ...(codec && receives ? { codec } : {}),
        ...(options ? { options } : {}),
      }
    })
    return { model: MODEL, shapesKey: SHAPES, source: names[0]!, stages }
  })

const good = `${MODEL}.${SHAPES}.device.device_0-3.cloud-1_3-9`
const coded = `${MODEL}.${SHAPES}.device.device_0-3_t4-all.cloud-1_3-9_q4c-zstd_t16-basic`

describe('plan ids', () => {
  it('say everything about a plan: parsing gives back what was formatted', () => {
    fc.assert(
      fc.property(plans, (parts) => {
        expect(parsePlanId(formatPlanId(parts))).toEqual(parts)
      }),
    )
  })

  it('need no escaping in a URL', () => {
    fc.assert(
      fc.property(plans, (parts) => {
        const id = formatPlanId(parts)
        expect(encodeURIComponent(id)).toBe(id)
      }),
    )
  })

  it('are unique: a text that parses is the only text of its plan', () => {
    const edits = fc.tuple(
      fc.nat({ max: coded.length }),
      fc.constantFrom('', '0', '-', '_', '.', 'a', ' ', 't', '_none', '_t'),
    )
    fc.assert(
      fc.property(fc.constantFrom(good, coded), edits, fc.nat({ max: 2 }), (id, [at, inserted], removed) => {
        const text = id.slice(0, at) + inserted + id.slice(at + removed)
        let parsed: PlanParts
        try {
          parsed = parsePlanId(text)
        } catch {
          return
        }
        expect(formatPlanId(parsed)).toBe(text)
      }),
      { numRuns: 3000 },
    )
  })

  it('look as documented', () => {
    expect(parsePlanId(good).stages).toEqual([
      { resource: 'device', from: 0, to: 3 },
      { resource: 'cloud-1', from: 3, to: 9 },
    ])
    expect(parsePlanId(coded).stages).toEqual([
      { resource: 'device', from: 0, to: 3, options: { threads: 4, optimisation: 'all' } },
      {
        resource: 'cloud-1',
        from: 3,
        to: 9,
        codec: 'q4c-zstd',
        options: { threads: 16, optimisation: 'basic' },
      },
    ])
  })

  it.each([
    ['', 'does not begin with a model id'],
    ['nonsense', 'does not begin with a model id'],
    [`${MODEL}.zz.device.device_0-3`, 'not a shapes key'],
    [`${MODEL}.${SHAPES}`, 'names no source'],
    [`${MODEL}.${SHAPES}.device`, 'has no stages'],
    [`${MODEL}.${SHAPES}.Device.edge_0-3`, '"Device" is not a resource name'],
    [`${MODEL}.${SHAPES}.device.edge`, '"edge" is not a stage'],
    [`${MODEL}.${SHAPES}.device.edge_0-03`, '"edge_0-03" is not a stage'],
    [`${MODEL}.${SHAPES}.device.edge_1-3`, 'edge begins at layer 1, not at 0'],
    [`${MODEL}.${SHAPES}.device.edge_0-0`, 'edge ends at 0 and holds no layer'],
    [`${MODEL}.${SHAPES}.device.edge_0-3.cloud_4-5`, 'cloud begins at layer 4, not at 3'],
    [`${MODEL}.${SHAPES}.device.edge_0-3.edge_3-5`, 'edge has two stages'],
    [`${MODEL}.${SHAPES}.device.edge_0-3.device_3-5`, 'can only run the first stage'],
    [`${MODEL}.${SHAPES}.device.edge_0-3.__proto___3-5`, 'is not a stage'],
    [`${good}.`, '"" is not a stage'],
    [`${good}_none`, 'is not a stage'],
    [`${good}_q3`, 'stage of cloud-1: "q3" is not a codec'],
    [`${good}_t300-all`, 'is not a stage'],
    [`${good}_t4-fast`, 'is not a stage'],
    [`${good}_t04-all`, 'is not a stage'],
    [`${good}_t4-all_q8`, 'is not a stage'],
    [`${MODEL}.${SHAPES}.device.device_0-3_q8`, 'nothing is sent to device, which is the source'],
  ])('refuses %j, saying why', (id, why) => {
    expect(() => parsePlanId(id)).toThrow(expect.objectContaining({ code: 'notFound' }))
    expect(() => parsePlanId(id)).toThrow(why)
  })

  it('are not made for what is not a plan', () => {
    const stages = [{ resource: 'edge', from: 0, to: 1.5 }]
    expect(() => formatPlanId({ model: MODEL, shapesKey: SHAPES, source: 'device', stages })).toThrow(
      'no whole layer numbers',
    )
  })
})
