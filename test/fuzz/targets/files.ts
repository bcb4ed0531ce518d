/** Files that people bring: models, NumPy's arrays, the original's measurements. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { loadGraph } from '../../../shared/onnx/canonical/working-graph.ts'
import { describeModel } from '../../../shared/onnx/index.ts'
import { parseNetworkCsv } from '../../../shared/original/data.ts'
import { importOriginal } from '../../../shared/original/index.ts'
import { unpickle } from '../../../shared/original/unpickle.ts'
import { isNpy, readNpy, readNpz } from '../../../shared/tensors/read-numpy.ts'
import { writeNpy, writeNpz } from '../../../shared/tensors/write-numpy.ts'
import { npyFile, npzOf, withComment, zip64Of } from '../../support/numpy.ts'
import { encode, floats, ints, model, node, value } from '../../onnx/support/build.ts'
import { madeUp } from '../../original/made-up.ts'
import { allowed, PURE, refusing, type Target, text } from '../target.ts'

const OWN_MODELS = ['digits-cnn.onnx', 'loop-cells.onnx', 'odd-names.onnx', 'decoder-fp16/model.onnx']
const MOST_UNPACKED_BYTES = 2 ** 20

export const smallModel = (): Uint8Array =>
  encode(
    model({
      inputs: [value('x', ['n', 20])],
      outputs: [value('y', ['n', 20])],
      nodes: [node('Relu', ['x'], ['h']), node('Add', ['h', 'b'], ['y'])],
      constants: [floats('b', [20]), ints('i', [1, -2, 300])],
    }),
  )

export const onnx: Target = {
  name: 'onnx',
  share: 8,
  sample: 150,
  ...PURE,
  open: () => {
    const dir = mkdtempSync(path.join(os.tmpdir(), 'scission-fuzz-'))
    const file = path.join(dir, 'model.onnx')
    const own = OWN_MODELS.map((name) =>
      readFileSync(fileURLToPath(new URL(`../../data/models/${name}`, import.meta.url))),
    )
    return {
      seeds: [smallModel(), ...own],
      run: async (input) => {
        writeFileSync(file, input)
        await describeModel(file).catch(allowed)
        refusing(() => loadGraph(dir, 'model.onnx', undefined))
      },
      close: async () => rmSync(dir, { recursive: true, force: true }),
    }
  },
}

const array: Tensor = { name: 'x', datatype: 'FP32', shape: [2, 3], bytes: new Uint8Array(24) }
const words: Tensor = { name: 's', datatype: 'BYTES', shape: [1], bytes: Buffer.from('\x01\0\0\0a') }

/** numpy.array(['ab', 'c'], dtype=object) as numpy.save pickles it, without what reading passes over. */
const PICKLED_ARRAY = Buffer.from(
  '\x80\x02cnumpy\nndarray\nq\0)\x81(K\x01K\x02\x85N\x89](X\x02\0\0\0abq\x01h\x01etb.',
  'latin1',
)

export const numpy: Target = {
  name: 'numpy',
  share: 8,
  sample: 1000,
  ...PURE,
  open: () => ({
    seeds: [
      writeNpy(array),
      writeNpz([array, words]),
      npzOf({ 'x.npy': writeNpy(array), 'folder/': Buffer.of(), 's.npy': writeNpy(words) }, false),
      withComment(zip64Of('x.npy', writeNpy(array), true)),
      npyFile('<U2', [2], Buffer.from('a\0\0\0b\0\0\0c\0\0\0\0\0\0\0', 'latin1')),
      npyFile('|S3', [2, 1], Buffer.from('abcde\0')),
      npyFile('>f8', [2, 2], new Uint8Array(32)),
      npyFile('|O', [2], PICKLED_ARRAY),
    ],
    run: async (input) => {
      refusing(() => readNpy(input, 'x'))
      if (!isNpy(input)) await readNpz(input, 'x', MOST_UNPACKED_BYTES).catch(allowed)
    },
  }),
}

/** {'chain': [Block(input_layer=0, output_layer=2, second_prediction=0.5, output_size=400)]} */
const PICKLE = Buffer.concat([
  Buffer.from('\x80\x03}q\0X\x05\0\0\0chainq\x01]q\x02cmodule\nBlock\nq\x03)\x81q\x04}q\x05(', 'latin1'),
  Buffer.from('X\x0b\0\0\0input_layerK\0X\x0c\0\0\0output_layerK\x02X\x11\0\0\0second_prediction', 'latin1'),
  Buffer.from('G\x3f\xe0\0\0\0\0\0\0X\x0b\0\0\0output_sizeM\x90\x01ubas.', 'latin1'),
])
const PICKLE_4 = Buffer.from(
  '\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x01m\x8c\x01B\x93\x94)\x81\x94\x8a\x02\xff\xff\x85\x94.',
  'latin1',
)

export const pickles: Target = {
  name: 'pickles',
  share: 8,
  sample: 1500,
  ...PURE,
  open: () => ({ seeds: [PICKLE, PICKLE_4], run: (input) => refusing(() => unpickle(input, 'x')) }),
}

/** profiles.json and networks.json of the original in one document, as `POST /v1/profiles` takes them. */
export const original = (): { systems: object; networks: object; network: string } => {
  const { profiles, networks } = madeUp()
  return { ...profiles, networks, network: 'wlan.csv' }
}

export const originals: Target = {
  name: 'original',
  share: 4,
  sample: 200,
  ...PURE,
  open: () => ({
    seeds: [text(original()), text(madeUp().profiles)],
    run: (input) => {
      refusing(() => parseNetworkCsv(Buffer.from(input).toString(), 'x.csv'))
      const parsed = parsedJson(input)
      if (typeof parsed !== 'object' || parsed === null) return refusing(() => importOriginal(parsed))
      const { networks, network, ...profiles } = parsed as Record<string, unknown>
      refusing(() => importOriginal(profiles, { networks, ...(typeof network === 'string' && { network }) }))
    },
  }),
}

function parsedJson(input: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(input).toString())
  } catch {
    return undefined
  }
}
