/** Cases of our own, which need nothing beside the repository: each shows one verdict of the driver. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { ModelProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { encode, floats, model, node, setReference, value } from '../onnx/support/build.ts'
import { npyOf, npzOf } from '../support/numpy.ts'
import { type Case, readCases } from './read-cases.ts'

/** Three products with ReLUs between: something to cut. Its rows are an open dimension. */
function chain(seed: number): ModelProto {
  const weights = [0, 1, 2].map((at) => floats(`w${at}`, [8, 8], [seed, -0.3, 0.2, 0.7, -0.1]))
  const nodes = weights.flatMap(({ name }, at) => [
    node('MatMul', [at === 0 ? 'x' : `r${at - 1}`, name], [`m${at}`]),
    node('Relu', [`m${at}`], [`r${at}`]),
  ])
  return model({
    nodes,
    inputs: [value('x', ['rows', 8])],
    outputs: [value('r2', ['rows', 8])],
    constants: weights,
  })
}

/** The same with its first weights in a file beside it. */
function inTwoFiles(): { file: Uint8Array; weights: Uint8Array } {
  const made = chain(0.5)
  const first = made.graph?.initializer[0]
  if (!first) throw new Error('the chain has weights')
  const weights = first.rawData
  setReference(first, 'weights/first.bin', 0, weights.length)
  first.rawData = new Uint8Array()
  return { file: encode(made), weights }
}

const unknownOperator = (): Uint8Array =>
  encode(
    model({
      nodes: [node('NoSuchOperator', ['x'], ['y'])],
      inputs: [value('x', [2, 8])],
      outputs: [value('y', [2, 8])],
    }),
  )

export interface OwnCases {
  works: Case
  refused: Case
  /** Works, but its reference is of another model. */
  wrong: Case
  /** Works, and is to be refused. */
  taken: Case
}

/** @param folder empty. */
export function writeOwnCases(folder: string): OwnCases {
  const write = (name: string, files: Record<string, Uint8Array>, about: Record<string, unknown>): Case => {
    const own = path.join(folder, name)
    const described = { ...files, 'case.json': Buffer.from(JSON.stringify({ name, ...about })) }
    for (const [file, bytes] of Object.entries({ ...described, 'inputs.npz': inputs() })) {
      mkdirSync(path.dirname(path.join(own, file)), { recursive: true })
      writeFileSync(path.join(own, file), bytes)
    }
    return readCases(own)[0]!
  }
  const { file, weights } = inTwoFiles()
  const refusal = { expect: 'refused', message: '(?i)nosuchoperator' }
  const plain = encode(chain(0.5))
  return {
    works: write('works', { 'model.onnx': file, 'weights/first.bin': weights }, {}),
    refused: write('refused', { 'model.onnx': unknownOperator() }, refusal),
    wrong: write('wrong', { 'model.onnx': plain, 'reference.onnx': encode(chain(0.9)) }, {}),
    taken: write('taken', { 'model.onnx': encode(chain(0.7)) }, refusal),
  }
}

function inputs(): Buffer {
  const values = Float32Array.from({ length: 24 }, (_, at) => Math.sin(at))
  const { file } = npyOf('FP32', [3, 8], 1, new Uint8Array(values.buffer))
  return npzOf({ 'x.npy': file }, false)
}
