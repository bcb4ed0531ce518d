/** Initializers that a file holds twice, as tools leave them behind that join models. */
import { ScissionError } from '../../platform/errors.ts'
import type { GraphProto, TensorProto } from '../proto/onnx_pb.ts'
import { CODE } from '../wire/element-types.ts'
import { isExternal, referenceOf } from '../wire/external-data.ts'
import { rawBytes } from '../wire/tensor-data.ts'

/**
 * Keeps one of each. ONNX Runtime takes the first of two with one name, or the last if they are small: so they must be equal.
 * @param dir the model's folder. @throws ScissionError invalidModel naming the tensor if they differ.
 */
export function dropRepeatedInitializers(graph: GraphProto, dir: string): void {
  const kept = new Map<string, TensorProto>()
  for (const tensor of graph.initializer) {
    const other = kept.get(tensor.name)
    if (other && !isSame(tensor, other, dir))
      throw new ScissionError(
        'invalidModel',
        `the tensor "${tensor.name}" is defined twice: by two initializers that differ; rename or remove one of them`,
        { tensor: tensor.name },
      )
    kept.set(tensor.name, other ?? tensor)
  }
  graph.initializer = [...kept.values()]
}

function isSame(a: TensorProto, b: TensorProto, dir: string): boolean {
  if (a.dataType !== b.dataType || a.dims.join() !== b.dims.join()) return false
  if (a.dataType === CODE.STRING)
    return a.stringData.every((text, index) => Buffer.compare(text, b.stringData[index] ?? text) === 0)
  return isSameExtent(a, b) || Buffer.compare(rawBytes(a, dir), rawBytes(b, dir)) === 0
}

/** Equal without a look at bytes that may fill gigabytes. */
function isSameExtent(a: TensorProto, b: TensorProto): boolean {
  if (!isExternal(a) || !isExternal(b)) return false
  return JSON.stringify(referenceOf(a)) === JSON.stringify(referenceOf(b))
}
