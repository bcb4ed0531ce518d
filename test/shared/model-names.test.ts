/** What a reference to a model means. */
import { describe, expect, it } from 'vitest'
import { ModelId } from '../../shared/contracts/common.ts'
import { pickNamed, versionsOf } from '../../shared/contracts/model-names.ts'
import { exampleModel } from '../support/fixtures.ts'

const id = (digit: string) => ModelId.parse(digit.repeat(64))
const model = (
  digit: string,
  version: number,
  createdAt: string,
  aliases: { name: string; version: number }[] = [],
) => exampleModel({ id: id(digit), name: 'net', version, createdAt, aliases })

describe('a name', () => {
  const models = [
    model('b', 2, '2026-01-02T00:00:00.000Z'),
    model('a', 1, '2026-01-01T00:00:00.000Z', [{ name: 'other', version: 7 }]),
  ]

  it('means its highest version, and each version by name@version; an id means the model by its first name', () => {
    expect(pickNamed(models, 'net').model.id).toBe(id('b'))
    expect(pickNamed(models, 'net@1').model.id).toBe(id('a'))
    expect(pickNamed(models, 'other')).toMatchObject({ model: { id: id('a') }, name: 'other', version: 7 })
    expect(pickNamed(models, id('a'))).toMatchObject({ name: 'net', version: 1 })
    expect(versionsOf(models, 'net')).toEqual([1, 2])
  })

  it('that two files have in one version means the older one, in whatever order they are read', () => {
    const twins = [model('c', 1, '2026-01-03T00:00:00.000Z'), model('d', 1, '2026-01-02T00:00:00.000Z')]
    for (const order of [twins, twins.toReversed()]) {
      expect(pickNamed(order, 'net').model.id).toBe(id('d'))
      expect(versionsOf(order, 'net')).toEqual([1])
    }
  })

  it('that nobody has may be the beginning of an id, as tables print it', () => {
    expect(pickNamed(models, 'a'.repeat(12)).model.id).toBe(id('a'))
    expect(() => pickNamed(models, 'a'.repeat(11))).toThrow('unknown model')
    const digits = model('c', 1, '2026-01-03T00:00:00.000Z', [{ name: 'b'.repeat(12), version: 1 }])
    expect(pickNamed([...models, digits], 'b'.repeat(12)).model.id).toBe(id('c'))
  })

  it('that does not exist is refused with what does', () => {
    expect(() => pickNamed(models, 'net@3')).toThrow('unknown model "net@3": "net" has version 1, 2')
    expect(() => pickNamed(models, 'nett')).toThrow(/unknown model "nett".*net/)
    expect(() => pickNamed([], 'net')).toThrow('none has been uploaded yet')
  })
})
