/**
 * The paper's 18 networks: every single-tensor cut is found, beside what the original tool's rule finds; and pieces
 * equal the whole. SCISSION_ALL_CUTS=1 takes every network up to ResNet50's size and 40 cuts of each.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderTable } from '../../infra/terminal/table.ts'
import type { Layer, Structure } from '../../shared/contracts/model.ts'
import { frontiers } from '../../shared/onnx/structure/boundaries.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { buildZooModel, ZOO, zooGraph, type ZooGraph, type ZooName } from '../../shared/zoo/index.ts'
import { evenly } from '../support/evenly.ts'
import { KERAS_FACTS } from '../zoo/keras-digests.ts'
import { type LayerRow, layerRows, NEEDS_KERAS, readKerasNetworks } from '../zoo/keras-layers.ts'
import { singleCutTensors } from './support/brute-force.ts'
import { type Analysed, analysed } from './support/models.ts'
import { difference, inputsOf, type Level, runPieces } from './support/run.ts'

const ALL = process.env['SCISSION_ALL_CUTS'] !== undefined
const TOLERANCE = 1e-5

type Graph = Pick<Structure, 'inputs' | 'outputs' | 'layers'>

const spec = (name: string) => ({ name, datatype: 'FP32' as const, shape: [1], bytes: 4 })
const layer = (index: number, inputs: string[], outputs: string[]): Layer => ({
  index,
  name: String(index),
  op: '',
  inputs,
  outputs: outputs.map(spec),
  weightBytes: 0,
  macs: null,
})

/** Weights and constants are no tensors that cross; what is left is the graph of layers. */
function ofZoo(graph: ZooGraph): Graph {
  const fixed = new Set([...graph.weights, ...graph.constants].map(({ name }) => name))
  const layers = graph.nodes.map((node, index) =>
    layer(
      index,
      node.input.filter((name) => name && !fixed.has(name)),
      node.output,
    ),
  )
  return { layers, inputs: [spec(graph.input.name)], outputs: [spec(graph.output.name)] }
}

/** Keras' layers: the first is the input, the last the output. */
function ofKeras(layers: readonly LayerRow[]): Graph {
  const name = (index: number) => `l${index}`
  const made = layers.slice(1).map(([, inputs], index) => layer(index, inputs.map(name), [name(index + 1)]))
  return { layers: made, inputs: [spec(name(0))], outputs: [spec(name(layers.length - 1))] }
}

/** Boundaries 1..N-1 with one tensor. */
const innerSingles = (graph: Graph): string[] =>
  frontiers(graph)
    .slice(1, -1)
    .flatMap((tensors) => (tensors.length === 1 ? tensors : []))

/** @param listed layers of a network in Keras, and how many blocks the original tool's rule makes of them. */
function expectCuts(
  listed: (name: ZooName) => { layers: readonly LayerRow[]; originalBlocks: number },
): void {
  const rows = (Object.keys(ZOO) as ZooName[]).map((name) => {
    const onnx = ofZoo(zooGraph(name))
    const { layers, originalBlocks } = listed(name)
    const keras = ofKeras(layers)
    for (const graph of [onnx, keras]) {
      const ends = new Set([...graph.inputs, ...graph.outputs].map((tensor) => tensor.name))
      const brute = [...singleCutTensors(graph)].filter((tensor) => !ends.has(tensor))
      expect(new Set(innerSingles(graph)), name).toEqual(new Set(brute))
    }
    // The original lists the last layer of each block; the end of the last block is no cut.
    const original = originalBlocks - 1
    expect(innerSingles(keras).length, name).toBeGreaterThanOrEqual(original)
    return [name, original, innerSingles(keras).length, innerSingles(onnx).length]
  })
  expect(rows.length).toBe(18)
  console.log(
    renderTable(['network', 'original rule, Keras layers', 'ours, Keras layers', 'ours, ONNX layers'], rows),
  )
}

describe('single-tensor cuts of the 18 networks', () => {
  const law = 'are exactly those that removing each tensor finds, and never fewer than the original rule’s'
  // test/zoo/keras.test.ts proves that these layers are Keras' own.
  it(law, () =>
    expectCuts((name) => ({
      layers: layerRows(zooGraph(name)),
      originalBlocks: KERAS_FACTS[name].originalBlocks,
    })),
  )
  it(`${law}, in the lists of Keras with Dropout`, NEEDS_KERAS, () => {
    const networks = readKerasNetworks()
    expectCuts((name) => {
      const { listed, splits } = networks.get(name)!
      return { layers: listed, originalBlocks: splits.length }
    })
  })
})

const parametersOfResNet50 = ZOO.resnet50.parameters
const upToResNet50 = (Object.keys(ZOO) as ZooName[]).filter(
  (name) => ZOO[name].parameters <= parametersOfResNet50,
)
const names = ALL ? upToResNet50 : (['mobilenetv2'] satisfies ZooName[])
const cutCount = ALL ? 40 : 5
const tripleCount = ALL ? 10 : 3

describe.each(names)('%s', { timeout: 900_000 }, (name) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-zoo-'))
  let model: Analysed
  let inputs: Map<string, Tensor>
  beforeAll(async () => {
    await buildZooModel(name, path.join(dir, 'model.onnx'))
    model = await analysed({ dir, file: 'model.onnx' })
    inputs = inputsOf(model)
  }, 300_000)
  afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

  it('equals the whole in two pieces at single-tensor cuts: bit by bit at clean ones', async () => {
    const { boundaries, layers } = model.structure
    const cuts = evenly(
      boundaries.filter(({ k, single, allowed }) => single && allowed && k > 0 && k < layers.length),
      cutCount,
    )
    const expected = await runPieces(model, [], inputs, 'extended')
    for (const { k, clean } of cuts) {
      const apart = difference(await runPieces(model, [k], inputs, 'extended'), expected)
      if (clean) expect(apart, `clean cut before layer ${k}`).toBe(0)
      else expect(apart, `cut before layer ${k}`).toBeLessThanOrEqual(TOLERANCE)
    }
  })

  it('equals the whole in three pieces at any boundaries, fully optimised too', async () => {
    const last = model.structure.layers.length
    for (const level of ['extended', 'all'] satisfies Level[]) {
      const expected = await runPieces(model, [], inputs, level)
      for (let i = 0; i < tripleCount; i++) {
        const cuts = [0.13 + i * 0.37, 0.71 + i * 0.23]
          .map((share) => Math.floor((share % 1) * last))
          .sort((a, b) => a - b)
        const apart = difference(await runPieces(model, cuts, inputs, level), expected)
        expect(apart, `${level}: cuts before layers ${cuts.join(' and ')}`).toBeLessThanOrEqual(TOLERANCE)
      }
    }
  })
})
