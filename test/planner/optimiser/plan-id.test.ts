import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatPlanId, parsePlanId, type PlanParts } from '../../../shared/plan-id.ts'
import { MODEL, SHAPES } from './problems.ts'

const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,9}$/)

/** Any plan: distinct resources, the source first or nowhere. */
const plans: fc.Arbitrary<PlanParts> = fc
  .tuple(
    fc.uniqueArray(name, { minLength: 2, maxLength: 6 }),
    fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 6, maxLength: 6 }),
    fc.boolean(),
  )
  .map(([names, lengths, sourceRuns]) => {
    const used = sourceRuns ? names : names.slice(1)
    let end = 0
    const stages = used.map((resource, index) => {
      const from = end
      end += lengths[index]!
      return { resource, from, to: end }
    })
    return { model: MODEL, shapesKey: SHAPES, source: names[0]!, stages }
  })

const good = `${MODEL}.${SHAPES}.device.device_0-3.cloud-1_3-9`

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
    const edits = fc.tuple(fc.nat({ max: good.length }), fc.constantFrom('', '0', '-', '_', '.', 'a', ' '))
    fc.assert(
      fc.property(edits, fc.nat({ max: 2 }), ([at, inserted], removed) => {
        const text = good.slice(0, at) + inserted + good.slice(at + removed)
        let parsed: PlanParts
        try {
          parsed = parsePlanId(text)
        } catch {
          return
        }
        expect(formatPlanId(parsed)).toBe(text)
      }),
      { numRuns: 1000 },
    )
  })

  it('look as documented', () => {
    expect(parsePlanId(good).stages).toEqual([
      { resource: 'device', from: 0, to: 3 },
      { resource: 'cloud-1', from: 3, to: 9 },
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
