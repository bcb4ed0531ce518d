/** Long documents are read as in one go, but others get their turn meanwhile. */
import { describe, expect, it } from 'vitest'
import { Boundary, Layer, Structure } from '../../shared/contracts/model.ts'
import { checkJsonInTurns } from '../../shared/platform/check-in-turns.ts'
import { checkJson } from '../../shared/platform/outside-input.ts'
import { exampleStructure } from '../support/fixtures.ts'

const LISTS = { layers: Layer, boundaries: Boundary }
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
const read = (text: string) => checkJsonInTurns(Structure, LISTS, text)

describe('a long document', () => {
  it('is read as in one go, however it is written', async () => {
    for (const text of [JSON.stringify(long()), JSON.stringify(long(), undefined, 1)])
      expect(await read(text)).toEqual(checkJson(Structure, text))
    const empty = { ...long(), layers: [] }
    expect((await read(JSON.stringify(empty))).value).toEqual(empty)
  })

  it('lets others have their turn many times', async () => {
    let turns = 0
    let done = false
    const others = () => {
      turns += 1
      if (!done) setImmediate(others)
    }
    setImmediate(others)
    await read(JSON.stringify(long()))
    done = true
    expect(turns).toBeGreaterThan(10)
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
