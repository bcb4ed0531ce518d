/** Long documents are read as in one go, but others get their turn meanwhile. */
import { describe, expect, it } from 'vitest'
import { LONG_STRUCTURE, Structure } from '../../shared/contracts/model.ts'
import { LONG_PROFILE, SensibleProfile } from '../../shared/contracts/sense.ts'
import { checkInTurns, checkJsonInTurns } from '../../shared/platform/check-in-turns.ts'
import { jsonInTurns } from '../../shared/platform/json-in-turns.ts'
import { check, checkJson } from '../../shared/platform/outside-input.ts'
import { PIECE_CHARACTERS } from '../../shared/platform/turns.ts'
import { exampleProfile, exampleStructure } from '../support/fixtures.ts'
import { turnsDuring } from '../support/turns-during.ts'

const COUNT = 5000

function long(): Structure {
  const { layers, boundaries, ...rest } = exampleStructure()
  const [layer] = layers
  const [boundary] = boundaries
  if (!layer || !boundary) throw new Error('the example has no layers')
  const name = 'a "quoted\\" name, with ] and }, \\\\'
  return {
    ...rest,
    layers: Array.from({ length: COUNT }, (_, index) => ({ ...layer, index, name: `${name}${index}` })),
    boundaries: Array.from({ length: COUNT + 1 }, (_, k) => ({ ...boundary, k, why: name })),
  }
}
const read = (text: string) => checkJsonInTurns(Structure, LONG_STRUCTURE, text)

describe('a long document', () => {
  it('is read as in one go, however it is written', async () => {
    for (const text of [JSON.stringify(long()), JSON.stringify(long(), undefined, 1)])
      expect(await read(text)).toEqual(checkJson(Structure, text))
    const empty = { ...long(), layers: [] }
    expect((await read(JSON.stringify(empty))).value).toEqual(empty)
  })

  it('lets others have their turn after each piece of each of its lists', async () => {
    const text = JSON.stringify(long())
    const { turns } = await turnsDuring(() => read(text))
    expect(turns).toBeGreaterThan(Math.floor(text.length / PIECE_CHARACTERS) - 2)
  })

  it('lets others have their turn when several are read at the same time', async () => {
    const text = JSON.stringify(long())
    const one = await turnsDuring(() => read(text))
    const three = await turnsDuring(() => Promise.all([read(text), read(text), read(text)]))
    expect(three.turns).toBeGreaterThan(2 * one.turns)
  })

  it('may be a value, and is checked as in one go', async () => {
    const document = long()
    const { turns, value } = await turnsDuring(() => checkInTurns(Structure, LONG_STRUCTURE, document))
    expect(value).toEqual(check(Structure, document))
    expect(turns).toBeGreaterThan(30)
    const wrong = { ...document, boundaries: document.boundaries.map((one) => ({ ...one, k: one.k - 1 })) }
    expect((await checkInTurns(Structure, LONG_STRUCTURE, wrong)).fault).toMatch(/^boundaries\.0\.k: /)
    expect(await checkInTurns(Structure, LONG_STRUCTURE, undefined)).toEqual(check(Structure, undefined))
  })

  it('whose lists must fit each other is held to that', async () => {
    const numbers = Array.from({ length: 20_000 }, (_, index) => index / 7)
    const { layers: _layers, enterMs: _enterMs, exitMs: _exitMs, ...rest } = exampleProfile('edge', [1])
    const fits = { ...rest, layerMs: numbers, enterMs: [...numbers, 1] }
    const readProfile = (document: object) =>
      checkJsonInTurns(SensibleProfile, LONG_PROFILE, JSON.stringify(document))
    expect(await readProfile(fits)).toEqual({ value: fits })
    expect(await checkInTurns(SensibleProfile, LONG_PROFILE, fits)).toEqual({ value: fits })
    const short = { ...fits, enterMs: numbers }
    expect((await readProfile(short)).fault).toBe('enterMs has 20000 entries for 20000 layers')
    expect((await checkInTurns(SensibleProfile, LONG_PROFILE, short)).fault).toBe(
      'enterMs has 20000 entries for 20000 layers',
    )
    const odd = { ...fits, enterMs: numbers.map((one, at) => (at === 9000 ? null : one)) }
    const { fault } = check(SensibleProfile, odd)
    expect(fault).toMatch(/^enterMs\.9000: /)
    expect(await readProfile(odd)).toEqual({ fault })
    expect(await checkInTurns(SensibleProfile, LONG_PROFILE, odd)).toEqual({ fault })
  })

  it('is refused as in one go, with the element that is wrong', async () => {
    const document = long()
    const wrong = {
      ...document,
      layers: document.layers.map((one, at) => (at === 4000 ? { ...one, op: 3 } : one)),
    }
    expect((await read(JSON.stringify(wrong))).fault).toMatch(/^layers\.4000\.op: /)
    const { model: _none, ...nameless } = document
    expect((await read(JSON.stringify(nameless))).fault).toMatch(/^model: /)
    const notList = { ...document, layers: 'x'.repeat(300_000) }
    expect((await read(JSON.stringify(notList))).fault).toMatch(/^layers: /)
  })

  it('is refused as in one go, however the name of a list is written and however often it is there', async () => {
    const document = long()
    const wrong = { ...document, layers: document.layers.map((one) => ({ ...one, op: 3 })) }
    const [right, faulty] = [JSON.stringify(document), JSON.stringify(wrong)]
    const written = ['"l\\u0061yers":[', `"layers"${' '.repeat(30)}:[`]
    for (const text of [right, faulty])
      for (const name of written) {
        const odd = text.replace('"layers":[', name)
        expect(await read(odd)).toEqual(checkJson(Structure, odd))
      }
    for (const again of ['"layers":5', '"l\\u0061yers":[5]', '"layers":[]']) {
      const twice = `${right.slice(0, -1)},${again}}`
      expect(await read(twice)).toEqual(checkJson(Structure, twice))
    }
  })

  it('that is no JSON is refused, wherever it is broken', async () => {
    const text = JSON.stringify(long())
    const list = text.indexOf('"layers":[') + '"layers":['.length
    const last = text.indexOf('],"boundaries"')
    const middle = text.indexOf('},{', list + 200_000) + 1
    const broken = [
      text.slice(0, -1),
      text.slice(0, middle),
      `${text.slice(0, last)},${text.slice(last)}`,
      `${text.slice(0, middle)},${text.slice(middle)}`,
      `${text.slice(0, middle)}}${text.slice(middle)}`,
      `${text.slice(0, list)},${text.slice(list)}`,
      `${text}}`,
      text.slice(1),
    ]
    for (const one of broken) {
      expect(checkJson(Structure, one).fault).toBeDefined()
      expect((await read(one)).fault).toBeDefined()
    }
  })
})

describe('what is written in pieces', () => {
  it('is what JSON.stringify writes, and others have their turn', async () => {
    const documents: object[] = [
      {},
      { none: undefined },
      { list: [undefined, Number.NaN, 1, { a: undefined }], after: null, none: undefined, text: 'ü"\u2028' },
      { empty: [], nested: { list: [1, 2] } },
      long(),
    ]
    for (const document of documents)
      expect(Buffer.concat(await jsonInTurns(document)).toString()).toBe(JSON.stringify(document))
    const { turns, value } = await turnsDuring(() => jsonInTurns(long()))
    expect(turns).toBeGreaterThan(value.length - 3)
    expect(value.length).toBeGreaterThan(30)
  })
})
