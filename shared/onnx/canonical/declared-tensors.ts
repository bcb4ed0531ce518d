/** Reads graph inputs and outputs as the file declares them, and fixes their open dimensions. */
import type { DeclaredTensor, InputShapes } from '../../contracts/common.ts'
import { ScissionError } from '../../platform/errors.ts'
import { elementTypeOf } from '../wire/element-types.ts'
import type { GraphProto, TensorShapeProto, ValueInfoProto } from '../proto/onnx_pb.ts'
import { entryOf } from '../../platform/entry-of.ts'

/** Stands for the whole shape if the file does not declare the number of dimensions. */
export const UNKNOWN_RANK = '...'

/** True if the file leaves a dimension of an input open. */
export const hasOpenDimensions = (inputs: readonly DeclaredTensor[]): boolean =>
  inputs.some(({ shape }) => shape.some((dim) => typeof dim === 'string'))

/** @throws ScissionError invalidModel for values that are not tensors and for types that cannot be sent. */
export function declaredTensor(value: ValueInfoProto, role: 'input' | 'output'): DeclaredTensor {
  const refuse = (reason: string, details: Record<string, string> = {}) =>
    new ScissionError('invalidModel', `graph ${role} "${value.name}" ${reason}`, {
      tensor: value.name,
      ...details,
    })
  const type = value.type?.value
  if (!type || type.case === undefined) throw refuse(`declares no type: ${HOW_TO_TYPE}`)
  if (type.case !== 'tensorType') {
    const kind = type.case.replace('Type', '')
    throw refuse(`is a ${kind}: only tensors can be sent to and from a model; ${insteadOf(kind, role)}`, {
      kind,
    })
  }
  const element = elementTypeOf(type.value.elemType)
  if (!element?.datatype) {
    const name = element?.name ?? `number ${type.value.elemType}`
    const how =
      role === 'input' ? 'take another type there, and cast it inside' : 'cast it to another type before'
    throw refuse(`has the element type ${name}, which cannot be served: let the model ${how}`, { type: name })
  }
  return { name: value.name, datatype: element.datatype, shape: declaredShape(type.value.shape) }
}

const HOW_TO_TYPE =
  'save the model again with onnx.shape_inference.infer_shapes, which adds the types that are missing'

/** What the model's owner can do. */
function insteadOf(kind: string, role: 'input' | 'output'): string {
  if (kind === 'optional') return 'export the model with a tensor there, or without it'
  const read = role === 'input' ? 'takes' : 'gives'
  const hint = role === 'output' ? ' (scikit-learn: options={"zipmap": False})' : ''
  return `export the model so that it ${read} a tensor${hint}`
}

/** Symbolic dimensions by name, `''` if unnamed; some exporters write 0 or −1 for "any". */
function declaredShape(shape: TensorShapeProto | undefined): (number | string)[] {
  if (!shape) return [UNKNOWN_RANK]
  return shape.dim.map(({ value }) => {
    if (value.case === 'dimParam') return value.value
    return value.case === 'dimValue' && value.value >= 0n ? Number(value.value) : ''
  })
}

/** The inputs that a caller gives. Initializers listed among the inputs are only default values. */
export function trueInputs(graph: GraphProto): ValueInfoProto[] {
  const constants = new Set(graph.initializer.map((tensor) => tensor.name))
  return graph.input.filter((input) => !constants.has(input.name))
}

interface OpenDim {
  input: string
  axis: number
  /** The symbol's name; empty if the dimension is unnamed, `...` if the rank itself is open. */
  symbol: string
  /** The sizes that given shapes have for the symbol, if they differ. */
  sizes?: number[]
}

/** The sizes that the given shapes have for a symbolic dimension. */
type Symbols = Map<string, Set<number>>

/**
 * The fixed shape of every input. A symbol should have the same size in all inputs, so that one input's shape can fix
 * another's. Exporters name dimensions alike by mistake, and ONNX Runtime only warns: a symbol with several sizes fixes
 * nothing, and a run decides whether the model takes them.
 *
 * @param given shapes by input name; inputs that are declared with fixed shapes need none.
 * @throws ScissionError needsInputShapes with the open dimensions in `details.dims`; badRequest for an unknown input or a
 * shape that contradicts the declaration.
 * @example
 * const { inputs } = await describeModel('bert.onnx') // ids: ['batch', 'length'], mask: ['batch', 'length']
 * resolveInputShapes(inputs, { ids: [1, 128] }) // { ids: [1, 128], mask: [1, 128] }
 */
export function resolveInputShapes(
  declared: readonly DeclaredTensor[],
  given: InputShapes = {},
): InputShapes {
  for (const name of Object.keys(given)) {
    if (!declared.some((input) => input.name === name)) {
      throw new ScissionError('badRequest', `the model has no input "${name}"`, {
        input: name,
        known: declared.map((input) => input.name),
      })
    }
  }
  const symbols: Symbols = new Map()
  for (const input of declared) {
    const shape = entryOf(given, input.name)
    if (shape) matchDeclared(input, shape, symbols)
  }
  const open: OpenDim[] = []
  const shapes = declared.map((input) => [
    input.name,
    entryOf(given, input.name) ?? settle(input, symbols, open),
  ])
  if (open.length > 0) throw needsShapes(open, declared)
  return Object.fromEntries(shapes)
}

function settle(input: DeclaredTensor, symbols: Symbols, open: OpenDim[]): number[] {
  return input.shape.map((dim, axis) => {
    const sizes = typeof dim === 'number' ? [dim] : [...(symbols.get(dim) ?? [])]
    const [value = 0] = sizes
    if (sizes.length === 1 && value > 0) return value
    const symbol = typeof dim === 'string' ? dim : ''
    open.push({ input: input.name, axis, symbol, ...(sizes.length > 1 && { sizes }) })
    return 0
  })
}

function needsShapes(open: readonly OpenDim[], declared: readonly DeclaredTensor[]): ScissionError {
  const list = open.map(({ input, axis, symbol, sizes }) => {
    if (symbol === UNKNOWN_RANK) return `all dimensions of "${input}"`
    const given = sizes ? `, which is ${sizes.join(' and ')} in the given shapes` : ''
    return `dimension ${axis} of "${input}"${symbol ? ` ("${symbol}"${given})` : ''}`
  })
  const names = new Set(open.map(({ input }) => input))
  const example = declared
    .filter(({ name }) => names.has(name))
    .map(
      ({ name, shape }) =>
        `${name}:${shape.map((dim) => (typeof dim === 'number' ? dim || 1 : 1)).join('x')}`,
    )
    .join(',')
  return new ScissionError(
    'needsInputShapes',
    `the model leaves dimensions open: ${list.join(', ')}; give the shapes of these inputs, for example ${example}`,
    { dims: open },
  )
}

function matchDeclared(input: DeclaredTensor, shape: readonly number[], symbols: Symbols): void {
  const contradiction = (reason: string, axis?: number) =>
    new ScissionError(
      'badRequest',
      `input "${input.name}" is declared as [${input.shape.join(',')}], the given shape [${shape.join(',')}] ${reason}`,
      { input: input.name, axis, declared: input.shape, given: shape },
    )
  if (!Number.isSafeInteger(shape.reduce((product, dim) => product * dim, 1)))
    throw contradiction('has too many elements')
  if (input.shape[0] === UNKNOWN_RANK) return
  if (shape.length !== input.shape.length)
    throw contradiction(`has ${shape.length} dimensions instead of ${input.shape.length}`)
  for (const [axis, dim] of input.shape.entries()) {
    const value = shape[axis] ?? 0
    if (typeof dim === 'number') {
      // A declared 0 is an exporter's "any" or an input without elements: the caller's shape decides.
      if (dim !== 0 && dim !== value) throw contradiction(`differs in dimension ${axis}`, axis)
      continue
    }
    if (dim !== '') symbols.set(dim, (symbols.get(dim) ?? new Set()).add(value))
  }
}
