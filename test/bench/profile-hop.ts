/**
 * A model that does nothing of use but crosses the same cuts: at each, a tensor of as many bytes as the real model's,
 * and between them plain matrix products for about as long, because a hop after a pause costs more than one right
 * after another. End to end time less what its stages computed is what moving the tensors costs.
 */
import { writeFileSync } from 'node:fs'
import type { NodeProto, TensorProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { encode, floats, ints, model, node, value } from '../onnx/support/build.ts'

export interface HopModel {
  inputBytes: number
  /** In the order of the cuts: what crosses, and about how long the model computes before it. */
  cuts: { bytes: number; afterMs: number }[]
  outputBytes: number
  wholeMs: number
}

/** A matrix larger than a core's cache: a real model leaves nothing of the service's own in it either. */
const ROWS = 8
const SIDE = 1024
/** Rough time of one product of [ROWS, SIDE] and [SIDE, SIDE]; its real time is not counted. */
const PRODUCT_MS = 0.25
/** Computing longer than this makes hops no slower. */
const LONGEST_MS = 100
const FLOAT_BYTES = 4

const elements = (bytes: number) => Math.max(1, Math.round(bytes / FLOAT_BYTES))

/** Writes it. @returns layers before each cut: the boundary at which to split it. */
export function writeHopModel(file: string, spec: HopModel): number[] {
  const scale = Math.min(1, LONGEST_MS / Math.max(spec.wholeMs, 1))
  const ends = [...spec.cuts, { bytes: spec.outputBytes, afterMs: spec.wholeMs }]
  const nodes: NodeProto[] = []
  const constants: TensorProto[] = [
    floats('start', [ROWS, SIDE]),
    // Sines: a product with them neither grows nor dies away much.
    floats(
      'matrix',
      [SIDE, SIDE],
      Array.from({ length: 997 }, (_, i) => Math.sin(i * 7.3) / Math.sqrt(SIDE / 2)),
    ),
    ints('zero', [0]),
    ints('one', [1]),
    ints('two zeros', [0, 0]),
    ints('two ones', [1, 1]),
    ints('both axes', [0, 1]),
    ints('flat', [-1]),
  ]
  const boundaries: number[] = []
  let input = 'x'
  let beforeMs = 0
  for (const [at, { bytes, afterMs }] of ends.entries()) {
    const products = Math.max(1, Math.round(((afterMs - beforeMs) * scale) / PRODUCT_MS))
    nodes.push(node('Slice', [input, 'zero', 'one', 'zero'], [`s${at}`]))
    nodes.push(node('Add', ['start', `s${at}`], [`p${at}.0`]))
    for (let i = 0; i < products; i++)
      nodes.push(node('MatMul', [`p${at}.${i}`, 'matrix'], [`p${at}.${i + 1}`]))
    nodes.push(node('Slice', [`p${at}.${products}`, 'two zeros', 'two ones', 'both axes'], [`e${at}`]))
    nodes.push(node('Reshape', [`e${at}`, 'flat'], [`f${at}`]))
    constants.push(ints(`size${at}`, [elements(bytes)]))
    input = `t${at}`
    nodes.push(node('Expand', [`f${at}`, `size${at}`], [input]))
    if (at < spec.cuts.length) boundaries.push(nodes.length)
    beforeMs = afterMs
  }
  const proto = model({
    nodes,
    constants,
    inputs: [value('x', [elements(spec.inputBytes)])],
    outputs: [value(input, [elements(spec.outputBytes)])],
  })
  writeFileSync(file, encode(proto))
  return boundaries
}
