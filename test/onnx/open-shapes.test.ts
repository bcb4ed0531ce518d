/** Structures with open dimensions: analysed with one shape, they hold for all others. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { analyse, canonicalPaths, openCanonical } from '../../shared/onnx/index.ts'
import { openBoundary, sameTensors } from '../../shared/onnx/structure/open-boundary.ts'
import type { ModelProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { ownFile } from '../support/test-models.ts'
import { anySize, classifier, encoder } from './support/open-models.ts'
import { type Analysed, copyOf, fileOf, NO_ID } from './support/models.ts'
import { difference, runFile, runPieces } from './support/run.ts'

type At = { dir: string; file: string }

async function openOf(at: At, inputShapes: InputShapes): Promise<Analysed> {
  const structure = await analyse({ ...at, model: NO_ID, inputShapes, open: true })
  const canonical = await openCanonical(canonicalPaths(at.dir, structure.shapesKey).canonical)
  return { ...at, structure, canonical }
}

const fixedOf = (at: At, inputShapes: InputShapes) => analyse({ ...at, model: NO_ID, inputShapes })

const tokens = (batch: number, length: number): InputShapes => ({
  ids: [batch, length],
  mask: [batch, length],
})
const picture = (height: number, width: number): InputShapes => ({ x: [1, 3, height, width] })

const CASES: { what: string; made: () => ModelProto | string; shapes: InputShapes[] }[] = [
  {
    what: 'an encoder',
    made: () => encoder(),
    shapes: [tokens(1, 16), tokens(1, 1), tokens(3, 7), tokens(2, 96)],
  },
  { what: 'an encoder whose sizes cross', made: () => encoder('ids'), shapes: [tokens(1, 16), tokens(2, 5)] },
  { what: 'a classifier', made: classifier, shapes: [1, 2, 9].map((batch) => ({ x: [batch, 3, 8, 8] })) },
  { what: 'pictures of any size', made: anySize, shapes: [picture(8, 8), picture(5, 31), picture(64, 2)] },
  {
    what: 'an exported encoder',
    made: () => ownFile('encoder-dynamic.onnx'),
    shapes: [3, 1, 12].map((length) => ({
      input_ids: [1, length],
      token_type_ids: [1, length],
      input_mask: [1, length],
    })),
  },
]

describe.each(CASES)('the open structure of $what', ({ made, shapes }) => {
  const [first = {}] = shapes
  const source = () => {
    const given = made()
    return typeof given === 'string' ? copyOf(given) : fileOf(given)
  }

  it('gives the outputs of the file for every shape, whole and cut where a plan may cut it', async () => {
    const at = source()
    const open = await openOf(at, first)
    const { boundaries, layers, inputs } = open.structure
    const cuts = boundaries.filter(({ k, clean, allowed }) => k > 0 && k < layers.length && clean && allowed)
    expect(cuts.length).toBeGreaterThan(1)
    // Some 12 of them: each takes two sessions for every shape.
    const some = cuts.filter((_, index) => index % Math.ceil(cuts.length / 12) === 0)
    for (const shape of shapes) {
      const made = makeInputs(
        inputs.map((spec) => ({ ...spec, shape: shape[spec.name] ?? [] })),
        7,
        open.structure.inputHints,
      )
      const given = new Map(made.map((tensor) => [tensor.name, tensor]))
      const expected = await runFile(path.join(at.dir, at.file), given, 'all')
      expect(difference(await runPieces(open, [], given, 'all'), expected)).toBeLessThan(1e-5)
      for (const { k } of some) {
        const apart = difference(await runPieces(open, [k], given, 'all'), expected)
        expect([k, apart < 1e-5]).toEqual([k, true])
      }
    }
  })

  it('has one key, whatever shape it was tried with', async () => {
    const at = source()
    const all = await Promise.all(shapes.map((shape) => openOf(at, shape)))
    const { structure } = all[0] as Analysed
    expect(new Set(all.map(({ structure }) => structure.shapesKey)).size).toBe(1)
    expect(all.at(-1)?.structure.layers.map(({ name }) => name)).toEqual(
      structure.layers.map(({ name }) => name),
    )
    expect(structure.open).toBe(true)
    expect((await fixedOf(at, first)).shapesKey).not.toBe(structure.shapesKey)
  })

  it('has a boundary for the cuts of a structure with fixed shapes, which splits the same layers', async () => {
    const at = source()
    const fixed = await fixedOf(at, first)
    const { structure: open } = await openOf(at, first)
    const made = (layers: typeof fixed.layers) =>
      layers.flatMap(({ outputs }) => outputs.map(({ name }) => name))
    for (const { k, tensors } of fixed.boundaries.filter(({ allowed }) => allowed)) {
      const found = openBoundary(fixed, k, open)
      if (found === undefined) continue
      const before = new Set(made(open.layers.slice(0, found)))
      const all = new Set(made(open.layers))
      for (const name of made(fixed.layers.slice(0, k)))
        expect([name, before.has(name)]).toEqual([name, all.has(name)])
      for (const name of made(fixed.layers.slice(k))) expect([name, before.has(name)]).toEqual([name, false])
      expect(open.boundaries[found]?.tensors).toEqual(expect.arrayContaining(tensors))
    }
    expect(openBoundary(fixed, 0, open)).toBe(0)
    expect(openBoundary(fixed, fixed.layers.length, open)).toBe(open.layers.length)
  })
})

describe('a cut of fixed shapes', () => {
  it('between two blocks is one of the open structure; if sizes cross there, other tensors do too', async () => {
    for (const [sizes, same] of [
      ['block', true],
      ['ids', false],
    ] as const) {
      const at = fileOf(encoder(sizes))
      const fixed = await fixedOf(at, tokens(1, 16))
      const { structure: open } = await openOf(at, tokens(1, 16))
      const k = fixed.layers.findIndex(({ outputs }) => outputs.some(({ name }) => name === 'b0.out')) + 1
      const found = openBoundary(fixed, k, open)
      expect(found).toBeGreaterThan(k)
      expect(sameTensors(fixed.boundaries[k], open.boundaries[found ?? -1])).toBe(same)
    }
  })
})
