/** The models that protocol tests call, and the shapes of what they send. */
import { branchedModel, everyTypeModel, singleLayerModel, toySpec } from './toy-models.ts'

export const branched = branchedModel('a')
const everyType = everyTypeModel('b')
const linear = singleLayerModel('c', 'linear', toySpec('x', 'FP32', [1, 4]), (x) => x)
const words = singleLayerModel('d', 'words', toySpec('x', 'BYTES', [1]), (x) => x)
const open = singleLayerModel('e', 'open', toySpec('x', 'FP32', [-1, 2]), (x) => x)
const empty = singleLayerModel('f', 'empty', toySpec('x', 'FP32', [0, 3]), (x) => x)
const broken = singleLayerModel('1', 'broken', toySpec('x', 'FP32', [1]), (x) => ({
  ...x,
  bytes: new Uint8Array(Float32Array.of(Number.NaN).buffer),
}))
const long = singleLayerModel('2', 'long', toySpec('x', 'INT64', [2]), (x) => x)
export const PROTOCOL_TOYS = [branched, everyType, linear, words, open, empty, broken, long]

/** An input called x. */
export const x = (data: unknown, changes: object = {}) => ({
  name: 'x',
  shape: [2],
  datatype: 'FP32',
  data,
  ...changes,
})
