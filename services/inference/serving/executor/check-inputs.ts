/**
 * Compares the tensors of a request with the inputs of a layer range, before anything is queued or computed. ONNX Runtime
 * would detect the same errors later, but its messages do not name the client's tensors.
 */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { byteLength, elementCount, type Tensor } from '../../../../shared/contracts/tensor.ts'

/** What is known of a tensor without its data. */
type Form = Pick<TensorSpec, 'name' | 'datatype' | 'shape' | 'anyRank'>

const shown = (shape: readonly number[]) => `[${shape.join(',')}]`
const invalid = (message: string, details: Record<string, unknown>) =>
  new ScissionError('invalidTensor', message, details)

/**
 * Checks that the tensors are exactly those of `manifest.inputs`, in any order, with matching datatypes, shapes (-1 allows
 * any size) and numbers of bytes.
 * @throws ScissionError invalidTensor, which names the tensor, what was given and what is expected.
 */
export function checkInputs(manifest: { inputs: readonly Form[] }, tensors: readonly Tensor[]): void {
  const specs = checkNames(manifest, tensors)
  for (const tensor of tensors) {
    const spec = specs.get(tensor.name)
    if (spec) checkTensor(spec, tensor)
  }
  const given = new Set(tensors.map(({ name }) => name))
  const missing = manifest.inputs.filter((spec) => !given.has(spec.name))
  if (missing.length > 0) {
    const list = missing.map((spec) => `"${spec.name}" (${spec.datatype} ${shown(spec.shape)})`).join(', ')
    throw invalid(`missing input ${missing.length === 1 ? 'tensor' : 'tensors'} ${list}`, {
      missing: missing.map((spec) => spec.name),
    })
  }
}

/**
 * Checks that each tensor is one of `inputs` and none is given twice.
 * @returns the inputs by name. @throws ScissionError invalidTensor, which names the tensor.
 */
export function checkNames<Spec extends Form>(
  { inputs }: { inputs: readonly Spec[] },
  tensors: readonly Pick<Tensor, 'name'>[],
): ReadonlyMap<string, Spec> {
  const specs = new Map(inputs.map((spec) => [spec.name, spec]))
  const given = new Set<string>()
  for (const { name } of tensors) {
    if (!specs.has(name)) throw unknownTensor(name, inputs)
    if (given.has(name)) throw invalid(`input tensor "${name}" is given twice`, { tensor: name })
    given.add(name)
  }
  return specs
}

function unknownTensor(name: string, expected: readonly Form[]): ScissionError {
  const names = expected.map((spec) => spec.name)
  const list = names.length === 0 ? 'no tensors' : names.map((known) => `"${known}"`).join(', ')
  return invalid(`unexpected input tensor "${name}"; expected ${list}`, { tensor: name, expected: names })
}

/** Checks datatype, shape (-1 allows any size) and bytes of one tensor. @throws ScissionError invalidTensor. */
export function checkTensor(spec: Form, tensor: Tensor): void {
  checkForm(spec, tensor)
  const expected = tensor.datatype === 'BYTES' ? undefined : byteLength(tensor.datatype, tensor.shape)
  if (expected === undefined) checkStrings(tensor)
  else if (tensor.bytes.byteLength !== expected) {
    throw invalid(
      `input tensor "${spec.name}" has ${tensor.bytes.byteLength} bytes, but ${tensor.datatype} ` +
        `${shown(tensor.shape)} takes ${expected}`,
      { tensor: spec.name, given: { bytes: tensor.bytes.byteLength }, expected: { bytes: expected } },
    )
  }
}

/**
 * Checks the datatype and the shape of a tensor, whose data may not be known yet, against what is taken: -1 allows any size,
 * `anyRank` any shape.
 * @throws ScissionError invalidTensor, which names the tensor, what was given and what is expected.
 */
export function checkForm(spec: Form, tensor: Form): void {
  const details = {
    tensor: spec.name,
    given: { datatype: tensor.datatype, shape: tensor.shape },
    expected: { datatype: spec.datatype, shape: spec.shape },
  }
  if (tensor.datatype !== spec.datatype) {
    throw invalid(
      `input tensor "${spec.name}" has datatype ${tensor.datatype}, expected ${spec.datatype}`,
      details,
    )
  }
  const sizes = spec.anyRank ? tensor.shape.map(() => -1) : spec.shape
  const fits =
    tensor.shape.length === sizes.length &&
    tensor.shape.every((dim, axis) => dim >= 0 && (sizes[axis] === -1 || sizes[axis] === dim))
  if (!fits) {
    throw invalid(
      `input tensor "${spec.name}" has shape ${shown(tensor.shape)}, expected ${shown(spec.shape)}`,
      details,
    )
  }
}

/** Checks a BYTES tensor: each element is a 4-byte little-endian length, followed by that many bytes. */
function checkStrings(tensor: Tensor): void {
  const view = new DataView(tensor.bytes.buffer, tensor.bytes.byteOffset, tensor.bytes.byteLength)
  const expected = elementCount(tensor.shape)
  let offset = 0
  let elements = 0
  while (offset + 4 <= view.byteLength && elements < expected) {
    offset += 4 + view.getUint32(offset, true)
    elements += 1
  }
  if (elements !== expected || offset !== view.byteLength) {
    throw invalid(
      `input tensor "${tensor.name}": its ${view.byteLength} bytes are not ${expected} length-prefixed elements`,
      { tensor: tensor.name, elements: expected, bytes: view.byteLength },
    )
  }
}
