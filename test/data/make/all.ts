/** Every test model with the shapes to run it with, and the manifest of them all. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { elementTypeOf } from '../../../shared/onnx/wire/element-types.ts'
import { type ModelProto, ModelProtoSchema, type ValueInfoProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { writeModel } from '../../../shared/zoo/write.ts'
import { DECODER_DATA, decoder, encoder, pictureTransformer } from './attention.ts'
import { detector, digitsCnn, halfCnn, quantisedCnn, siamese, upscaler } from './convolutional.ts'
import { digitSets } from './digits.ts'
import { oddNames } from './names.ts'
import { bidirectionalGru, loopCells, lstmState, scanFilter, voiceIf } from './recurrent.ts'
import { refusedFiles } from './refused.ts'
import { residualCnn } from './residual.ts'

interface MadeModel {
  cls: string
  bytes: Uint8Array
  /** Sizes of open dimensions by name, for inputs that have any. */
  dims?: Record<string, number>
}

/** In the manifest's order. */
async function models(): Promise<Record<string, MadeModel>> {
  return {
    'digits-cnn': { cls: 'chain of convolutions; IR 3, weights among the inputs', bytes: digitsCnn() },
    'residual-cnn': { cls: 'residual and inception blocks, as the zoo writes them', bytes: await residual() },
    detector: { cls: 'detector: residual trunk, two heads, 2 outputs', bytes: detector() },
    siamese: { cls: '2 inputs through shared weights, attention, 3 outputs', bytes: siamese() },
    upscaler: {
      cls: 'only the batch is open; weights in Constant nodes, pixel shuffle',
      bytes: upscaler(),
      dims: { batch: 1 },
    },
    'fp16-cnn': { cls: 'fire modules, fp16', bytes: halfCnn() },
    'int8-qdq-cnn': {
      cls: 'residual, int8 QDQ, a scale per channel, open batch',
      bytes: quantisedCnn(),
      dims: { batch: 1 },
    },
    'encoder-dynamic': {
      cls: 'encoder: int64 inputs, open batch and sequence, sizes worked out in the graph, 2 outputs',
      bytes: encoder(),
      dims: { batch: 2, sequence: 12 },
    },
    'picture-transformer': { cls: 'vision transformer, opset 20 Gelu', bytes: pictureTransformer() },
    'lstm-state': { cls: '2 LSTMs, state in and out', bytes: lstmState() },
    'gru-bidirectional': {
      cls: 'GRU in both directions, open length',
      bytes: bidirectionalGru(),
      dims: { frames: 7 },
    },
    'voice-if': {
      cls: 'If on a sampling rate, If on the data inside; LSTM, state, int64 scalar input',
      bytes: voiceIf(),
      dims: { batch: 1, samples: 160 },
    },
    'loop-cells': { cls: '2 Loops with scan outputs, open length', bytes: loopCells(), dims: { length: 6 } },
    'scan-filter': {
      cls: 'Scan with state, uses a weight of the graph',
      bytes: scanFilter(),
      dims: { steps: 5 },
    },
    'odd-names': { cls: 'names: Unicode, spaces, slashes, line ends, 850 characters', bytes: oddNames() },
  }
}

const DECODER = {
  cls: 'decoder: key and value cache of length 0, fp16, external data',
  dims: { batch: 1, length: 8, total: 8, past: 0 },
}

async function residual(): Promise<Uint8Array> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-made-'))
  try {
    const file = path.join(folder, 'model.onnx')
    await writeModel(residualCnn(), file, { seed: 1 })
    return readFileSync(file)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** All files of test/data/models by their path in it. */
export async function allFiles(): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  const entries: object[] = []
  for (const [name, { cls, bytes, dims = {} }] of Object.entries(await models())) {
    files.set(`${name}.onnx`, bytes)
    entries.push(entryOf(`${name}.onnx`, cls, bytes, dims))
  }
  const { model, data } = decoder()
  files.set('decoder-fp16/model.onnx', model)
  files.set(`decoder-fp16/${DECODER_DATA}`, data)
  entries.push(entryOf('decoder-fp16/model.onnx', DECODER.cls, model, DECODER.dims))
  for (const [name, { bytes, error, shapes = {} }] of Object.entries(refusedFiles())) {
    const file = `negative/${name}.onnx`
    files.set(file, bytes)
    const typed = Object.fromEntries(
      Object.entries(shapes).map(([input, dims]) => [input, ['float32', dims]]),
    )
    entries.push({ set: 'negative', file, ...sizeOf(bytes), runShapes: typed, error })
  }
  for (const [name, bytes] of Object.entries(digitSets())) files.set(name, bytes)
  const text = `${JSON.stringify(entries, undefined, 1)}\n`
  return files.set('MANIFEST.json', new TextEncoder().encode(text))
}

function sizeOf(bytes: Uint8Array) {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') }
}

function entryOf(file: string, cls: string, bytes: Uint8Array, dims: Record<string, number>) {
  const model = fromBinary(ModelProtoSchema, bytes)
  const { graph } = model
  const fixed = new Set(graph?.initializer.map(({ name }) => name))
  const inputs = (graph?.input ?? []).filter(({ name }) => !fixed.has(name)).map(declared)
  const shapes = inputs.map(({ name, dtype, shape }) => [
    name,
    [dtype, shape.map((dim) => sizeAt(dim, dims))],
  ])
  return {
    set: 'dev',
    file,
    ...sizeOf(bytes),
    cls,
    ir: Number(model.irVersion),
    opset: Object.fromEntries(model.opsetImport.map(({ domain, version }) => [domain, Number(version)])),
    nodes: graph?.node.length ?? 0,
    ops: operatorsOf(model),
    inputs,
    outputs: (graph?.output ?? []).map(declared),
    runShapes: Object.fromEntries(shapes) as InputShapes,
  }
}

function sizeAt(dim: number | string, dims: Record<string, number>): number {
  const size = typeof dim === 'number' ? dim : dims[dim]
  if (size === undefined) throw new Error(`the open dimension ${dim} has no size to run with`)
  return size
}

function declared({ name, type }: ValueInfoProto) {
  const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined
  const shape = (tensor?.shape?.dim ?? []).map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? '?'),
  )
  return { name, dtype: elementTypeOf(tensor?.elemType ?? 0)?.runtime ?? '?', shape }
}

function operatorsOf({ graph }: ModelProto): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { opType } of graph?.node ?? []) counts[opType] = (counts[opType] ?? 0) + 1
  return counts
}

/** The names of `odd-names`, for tests that ask for them. */
