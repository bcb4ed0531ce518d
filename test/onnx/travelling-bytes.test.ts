/** A machine gets the bytes that its layers' manifest lists, and no other: laws on models of functions and bodies. */
import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type WeightExtent, writeRange } from '../../shared/onnx/index.ts'
import type { FunctionProto, ModelProto, NodeProto, TensorProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { tensorsInside } from '../../shared/onnx/canonical/scope.ts'
import { externalExtents } from '../../shared/onnx/wire/external-extents.ts'
import { referenceOf } from '../../shared/onnx/wire/external-data.ts'
import { readSkeleton } from '../../shared/onnx/wire/skeleton.ts'
import { tensorBytes } from '../../shared/onnx/wire/tensor-data.ts'
import { runs } from '../support/runs.ts'
import { setReference } from './support/build.ts'
import { cookFunctions, recipes } from './support/function-recipes.ts'
import { analysed, fileOf, temporaryFolder } from './support/models.ts'
import { difference, inputsOf, runFile } from './support/run.ts'

const WEIGHTS = 'weights.bin'

/** Moves the large constants of a model, at any depth, into a file of their own. */
function separate(given: ModelProto): Buffer {
  const all = [{ attribute: [] as NodeProto['attribute'], node: given.graph!.node }, ...given.functions]
  const tensors = all
    .flatMap(({ node }) => node.flatMap(tensorsInside))
    .filter(({ rawData }) => rawData.length > 1024)
  let offset = 0
  return Buffer.concat(
    [...tensors, ...given.graph!.initializer.filter(({ rawData }) => rawData.length > 1024)].map((tensor) => {
      const bytes = tensor.rawData
      setReference(tensor, WEIGHTS, offset, bytes.length)
      tensor.rawData = new Uint8Array()
      offset += bytes.length
      return bytes
    }),
  )
}

/** The functions that nodes call, found the slow way. */
function called(functions: readonly FunctionProto[], nodes: readonly NodeProto[]): Set<FunctionProto> {
  const found = new Set<FunctionProto>()
  const look = (all: readonly NodeProto[]): void => {
    for (const { domain, opType, overload, attribute } of all) {
      for (const { g } of attribute) if (g) look(g.node)
      const fn = functions.find(
        (one) => one.domain === domain && one.name === opType && one.overload === overload,
      )
      if (!fn || found.has(fn)) continue
      found.add(fn)
      look(fn.node)
    }
  }
  look(nodes)
  return found
}

const sumOfBytes = (tensors: readonly TensorProto[]) =>
  tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
const byPlace = (a: WeightExtent, b: WeightExtent) => a.path.localeCompare(b.path) || a.offset - b.offset

/** A copy of the files in `dir` in which every byte outside of the extents is 0xff: floats become NaN. */
function heldOf(dir: string, extents: readonly WeightExtent[]): string {
  const held = temporaryFolder()
  for (const file of ['model.onnx', WEIGHTS]) {
    if (!fs.existsSync(path.join(dir, file))) continue
    const bytes = fs.readFileSync(path.join(dir, file))
    const copy = Buffer.alloc(bytes.length, 0xff)
    for (const { offset, length } of extents.filter((extent) => extent.path === file))
      bytes.copy(copy, offset, offset, offset + length)
    fs.writeFileSync(path.join(held, file), copy)
  }
  return held
}

it('every layer runs on what its manifest lists, and carries the functions that it calls', async () => {
  await fc.assert(
    fc.asyncProperty(recipes, async (recipe) => {
      const given = cookFunctions(recipe)
      const expectedBytes = sumOfBytes([
        ...given.graph!.node.flatMap(tensorsInside),
        ...[...called(given.functions, given.graph!.node)].flatMap(({ node }) => node.flatMap(tensorsInside)),
      ])
      const weights = recipe.isSeparate ? separate(given) : undefined
      const at = fileOf(given)
      if (weights) fs.writeFileSync(path.join(at.dir, WEIGHTS), weights)
      const analysis = await analysed(at)
      const inputs = inputsOf(analysis)
      const whole = await runFile(path.join(at.dir, at.file), inputs, 'disabled')
      let have = new Map(inputs)
      const { layers } = analysis.structure
      for (const { index } of layers) {
        const name = `piece-${index}.onnx`
        const { extents } = await writeRange(analysis.canonical, index, index + 1, path.join(at.dir, name))
        const { model, graph, external } = readSkeleton(path.join(at.dir, name))
        const referred = externalExtents(fs.readFileSync(path.join(at.dir, name)))
        expect(
          referred.map(({ path: file, offset, length }) => ({ path: file, offset, length })).sort(byPlace),
        ).toEqual(
          external
            .map(referenceOf)
            .map(({ location, offset, length = 0 }) => ({ path: location, offset, length }))
            .sort(byPlace),
        )
        for (const one of referred)
          expect(
            extents.some(
              (extent) =>
                extent.path === one.path &&
                extent.offset <= one.offset &&
                one.offset + one.length <= extent.offset + extent.length,
            ),
          ).toBe(true)
        expect(new Set(model.functions)).toEqual(called(model.functions, graph.node))
        const held = heldOf(at.dir, extents)
        fs.copyFileSync(path.join(at.dir, name), path.join(held, name))
        have = new Map([...have, ...(await runFile(path.join(held, name), have, 'disabled'))])
      }
      expect(difference(have, whole)).toBeLessThan(1e-6)
      expect(analysis.structure.weightBytes).toBe(expectedBytes)
    }),
    { numRuns: runs(12, 300), seed: 20_261_129, endOnFailure: true },
  )
})
