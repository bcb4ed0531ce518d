import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { analyse, analyseInChild } from '../../shared/onnx/index.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { floats, graph, ints, model, node, value } from './support/build.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../support/test-models.ts'
import { copyOf, fileOf, NO_ID } from './support/models.ts'

const MIB = 1024 * 1024
const LIMITS = { model: NO_ID, timeoutMs: PATIENCE_MS, memoryLimitBytes: 1024 * MIB }

const y = value('y', undefined)

/** A Loop of 10^12 rounds. */
function endless() {
  const body = graph({
    nodes: [node('Identity', ['go'], ['more']), node('Sin', ['state'], ['next'])],
    inputs: [value('i', [], 7), value('go', [], 9), value('state', [3])],
    outputs: [value('more', [], 9), value('next', [3])],
  })
  return model({
    nodes: [node('Loop', ['count', '', 'x'], ['y'], { body })],
    inputs: [value('x', [3])],
    outputs: [y],
    constants: [ints('count', [1e12], [])],
  })
}

/** 200 bytes that want 40 GB. */
function bomb() {
  return model({
    nodes: [
      node('ConstantOfShape', ['size'], ['big']),
      node('Exp', ['big'], ['bigger']),
      node('ReduceMax', ['bigger'], ['top']),
      node('Add', ['x', 'top'], ['y']),
    ],
    inputs: [value('x', [3])],
    outputs: [y],
    constants: [ints('size', [100_000, 100_000])],
  })
}

describe('analysis in a throw-away process', () => {
  it('gives the same structure as in this one', async () => {
    const given = model({
      nodes: [node('MatMul', ['x', 'w'], ['h']), node('Relu', ['h'], ['y'])],
      inputs: [value('x', ['n', 300])],
      outputs: [y],
      constants: [floats('w', [300, 4])],
    })
    const inputShapes = { x: [2, 300] }
    const here = await analyse({ ...fileOf(given), model: NO_ID, inputShapes })
    expect(await analyseInChild({ ...fileOf(given), ...LIMITS, inputShapes })).toEqual(here)
  })

  it('asks for shapes like the analysis in this one', async () => {
    const given = model({ nodes: [node('Relu', ['x'], ['y'])], inputs: [value('x', ['n'])], outputs: [y] })
    await expect(analyseInChild({ ...fileOf(given), ...LIMITS })).rejects.toMatchObject({
      code: 'needsInputShapes',
      details: { dims: [{ input: 'x', axis: 0, symbol: 'n' }] },
    })
  })

  it('survives a model that never ends, and clears up after it', async () => {
    const at = fileOf(endless())
    await expect(analyseInChild({ ...at, ...LIMITS, timeoutMs: 4000 })).rejects.toMatchObject({
      code: 'invalidModel',
      details: { reason: 'timeout' },
    })
    expect(fs.readdirSync(at.dir)).toEqual([at.file])
  })

  it.skipIf(process.platform !== 'linux')('survives a model that wants all memory', async () => {
    const at = fileOf(bomb())
    const refused = analyseInChild({ ...at, ...LIMITS, memoryLimitBytes: 600 * MIB })
    await expect(refused).rejects.toMatchObject({ code: 'invalidModel' })
    expect(fs.readdirSync(at.dir)).toEqual([at.file])
  })

  it('finds the sampling rate that a voice detector compares its input with', async () => {
    const inputShapes = { samples: [1, 160], state: [2, 1, 12], rate: [] }
    const at = copyOf(ownFile('voice-if.onnx'))
    const structure = await analyseInChild({ ...at, ...LIMITS, inputShapes })
    expect(structure.inputHints).toMatchObject({ rate: { value: 16000 } })
    expect(structure.layers.map(({ op }) => op)).toContain('If')
  })

  it('finds that of a real speech model too', needsFiles('silero_vad_v6_if_lstm.onnx'), async () => {
    const inputShapes = { input: [1, 576], state: [2, 1, 128], sr: [] }
    const structure = await analyseInChild({
      ...copyOf(thirdPartyFile('silero_vad_v6_if_lstm.onnx')),
      ...LIMITS,
      inputShapes,
    })
    expect(structure.inputHints).toMatchObject({ sr: { value: 16000 } })
    expect(structure.layers.map(({ op }) => op)).toContain('If')
  })
})
