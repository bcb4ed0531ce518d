/**
 * The working form of a graph while it is made canonical, and how it is read from a file.
 *
 * Constants are separate from nodes: initializers, Constant nodes and later folded results are all `constants`. Graph
 * inputs are only those that a caller gives, with fixed shapes. Nodes are in topological order.
 */
import { create } from '@bufbuild/protobuf'
import type { DeclaredTensor, InputShapes, ShapesKey } from '../../contracts/common.ts'
import { checkModel, topologicalOrder } from './check-model.ts'
import { declaredTensor, resolveInputShapes, trueInputs } from './declared-tensors.ts'
import { CODE, elementTypeOfDatatype, type TypedTensor } from '../wire/element-types.ts'
import { ExternalFiles, isExternal, referenceOf } from '../wire/external-data.ts'
import {
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  type NodeProto,
  type OperatorSetIdProto,
  type SparseTensorProto,
  type TensorProto,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'
import { areEndless, nameOverloads } from './functions.ts'
import { dropRepeatedInitializers } from './repeated-initializers.ts'
import { bodiesOf, onnxOperator, sparseIn, usesOf } from './scope.ts'
import { openShapesKeyOf, shapesKeyOf } from './shapes-key.ts'
import { makeNamesUnique, type Names } from './unique-names.ts'
import { listsOf } from '../wire/large-lists.ts'
import { INLINE_PAYLOAD_BYTES, readSkeleton } from '../wire/skeleton.ts'
import { bytesOf, inlined, rawTensor, tensorBytes } from '../wire/tensor-data.ts'
import { entryOf } from '../../platform/entry-of.ts'

export interface Graph {
  /** The model's folder: external data is relative to it. */
  dir: string
  /** Name of the original file in it. */
  file: string
  name: string
  irVersion: bigint
  opsets: OperatorSetIdProto[]
  functions: FunctionProto[]
  inputs: TypedTensor[]
  /** The inputs as the file declares them, with -1 for open dimensions. */
  declared: TypedTensor[]
  /** The size of every input: that of `inputs`, or the one with which a graph with open inputs is tried. */
  sizes: InputShapes
  /** True if `inputs` have the dimensions open that the file leaves open: the graph is then valid for all sizes of them. */
  open: boolean
  shapesKey: ShapesKey
  /**
   * False if ONNX Runtime must be given open dimensions: some models have a branch that is never taken but that fixed
   * shapes make invalid, and ONNX Runtime refuses such a model.
   */
  fixed: boolean
  /** True if ONNX Runtime would never end opening the file itself (`areEndless`). */
  isEndless: boolean
  outputs: string[]
  constants: Map<string, TensorProto>
  sparse: Map<string, SparseTensorProto>
  nodes: NodeProto[]
  /** All names in use, those in bodies included: each names one tensor. */
  names: Names
}

/** Initializers need not be graph inputs, and external data exists, from IR version 4 on. */
const MIN_IR_VERSION = 4n

/**
 * Reads `dir/file` with its inputs fixed to the given shapes.
 *
 * @param open leaves those dimensions open that the file leaves open; the given shapes are then `sizes` only.
 * @throws ScissionError invalidModel, needsInputShapes, badRequest (shapes that contradict the declared ones)
 */
export function loadGraph(dir: string, file: string, given: InputShapes | undefined, open = false): Graph {
  const skeleton = readSkeleton(`${dir}/${file}`)
  checkModel(skeleton, new ExternalFiles(dir))
  const { model, graph } = skeleton
  dropRepeatedInitializers(graph, dir)
  const declared = trueInputs(graph).map((input) => declaredTensor(input, 'input'))
  for (const output of graph.output) declaredTensor(output, 'output')
  const shapes = resolveInputShapes(declared, given)
  const fixed = declared.map(({ name, datatype }) => ({
    name,
    code: elementTypeOfDatatype(datatype)?.code ?? CODE.UNDEFINED,
    shape: entryOf(shapes, name) ?? [],
  }))
  const asDeclared = fixed.map((input, index) => ({
    ...input,
    shape: openShape(declared[index]?.shape, input.shape),
    ...(open && { symbols: symbolsOf(declared[index]?.shape, input.shape) }),
  }))
  const names = makeNamesUnique(graph)
  const isEndless = areEndless(model.functions)
  nameOverloads(model)
  for (const fn of model.functions) settleFunction(fn, dir)
  const constants = new Map<string, TensorProto>()
  for (const tensor of graph.initializer) constants.set(tensor.name, settled(tensor, dir))
  for (const tensor of graph.sparseInitializer) settleSparse(tensor, dir)
  const sparse = new Map(graph.sparseInitializer.map((tensor) => [tensor.values?.name ?? '', tensor]))
  const kept = liftConstants(graph.node, dir, (tensor) => constants.set(tensor.name, tensor), sparse)
  // ONNX Runtime's messages and profiles identify nodes by name.
  for (const node of kept) node.name ||= node.output.find(Boolean) ?? ''
  const uses = kept.map(usesOf)
  return {
    dir,
    file,
    name: graph.name,
    irVersion: model.irVersion < MIN_IR_VERSION ? MIN_IR_VERSION : model.irVersion,
    opsets: model.opsetImport,
    functions: model.functions,
    inputs: open ? asDeclared : fixed,
    declared: asDeclared,
    sizes: shapes,
    open,
    shapesKey: open ? openShapesKeyOf(declared) : shapesKeyOf(shapes),
    fixed: true,
    isEndless,
    outputs: graph.output.map((output) => output.name),
    constants,
    sparse,
    nodes: topologicalOrder(kept, uses).flatMap((index) => kept[index] ?? []),
    names,
  }
}

/** The declared sizes, -1 for open ones, with the rank of the fixed shape. */
function openShape(declared: DeclaredTensor['shape'] | undefined, fixed: readonly number[]): number[] {
  return fixed.map((size, axis) => (declared?.[axis] === size ? size : -1))
}

/** The names of the open dimensions; none if the file does not declare the rank. */
function symbolsOf(declared: DeclaredTensor['shape'] | undefined, fixed: readonly number[]): string[] {
  const known = declared?.length === fixed.length ? declared : []
  return fixed.map((_, axis) => {
    const dim = known[axis]
    return typeof dim === 'string' ? dim : ''
  })
}

/** The type of a tensor as a session's input: fixed, or open if `graph.fixed` is false. */
export function sessionType(graph: Graph, type: TypedTensor): TypedTensor {
  if (graph.fixed) return type
  const declared = graph.declared.find(({ name }) => name === type.name)
  return declared ?? { ...type, shape: type.shape.map(() => -1) }
}

/** Reads small references into memory, and payloads whose encoding ONNX Runtime cannot read. */
function settled(tensor: TensorProto, dir: string): TensorProto {
  if (!isExternal(tensor)) return tensor
  const reference = referenceOf(tensor)
  return reference.encoding === 'varint' || tensorBytes(tensor) <= INLINE_PAYLOAD_BYTES
    ? inlined(tensor, dir)
    : tensor
}

/** The same for the parts of a sparse tensor. Shape inference of ONNX reads the indices of those in bodies. */
function settleSparse(tensor: SparseTensorProto, dir: string, indices = settled): void {
  if (tensor.values) tensor.values = settled(tensor.values, dir)
  if (tensor.indices) tensor.indices = indices(tensor.indices, dir)
}

/** Passes the tensor of every Constant node to `add`. @returns the other nodes, with the same done in their bodies. */
function liftConstants(
  nodes: readonly NodeProto[],
  dir: string,
  add: (tensor: TensorProto) => void,
  sparse: Map<string, SparseTensorProto> | undefined,
): NodeProto[] {
  return nodes.filter((node) => {
    const name = node.output[0]
    if (onnxOperator(node) === 'Constant' && name) {
      const tensor = constantTensor(node, name)
      if (tensor) {
        add(settled(tensor, dir))
        return false
      }
      const sparseValue = node.attribute.find((attribute) => attribute.sparseTensor)?.sparseTensor
      if (sparseValue?.values && sparse) {
        sparseValue.values.name = name
        settleSparse(sparseValue, dir)
        sparse.set(name, sparseValue)
        return false
      }
    }
    inlineAttributes(node.attribute, dir)
    for (const body of bodiesOf(node)) liftInBody(body, dir)
    return true
  })
}

/** Reads the tensors of a function's attributes into memory; its large constants, at any depth, stay in their files. */
function settleFunction({ attributeProto, node }: FunctionProto, dir: string): void {
  inlineAttributes(attributeProto, dir)
  for (const one of node) {
    const constant =
      onnxOperator(one) === 'Constant' ? one.attribute.find(({ name }) => name === 'value') : undefined
    // A function has no initializers: ONNX Runtime makes some of its Constant nodes, external ones too.
    if (constant?.t) constant.t = settled(constant.t, dir)
    else inlineAttributes(one.attribute, dir)
    for (const body of bodiesOf(one)) liftInBody(body, dir)
  }
}

/** Makes a body's constants its initializers, which may be external, as attributes may not. */
function liftInBody(body: GraphProto, dir: string): void {
  body.initializer = body.initializer.map((tensor) => settled(tensor, dir))
  for (const tensor of body.sparseInitializer) settleSparse(tensor, dir, inlined)
  body.node = liftConstants(body.node, dir, (tensor) => body.initializer.push(tensor), undefined)
}

/** @see https://onnx.ai/onnx/operators/onnx__Constant.html */
function constantTensor(node: NodeProto, name: string): TensorProto | undefined {
  const attribute = node.attribute.find((candidate) => candidate.name.startsWith('value'))
  if (!attribute) return undefined
  const { floats, ints, strings } = listsOf(attribute)
  switch (attribute.name) {
    case 'value':
      if (!attribute.t) return undefined
      attribute.t.name = name
      return attribute.t
    case 'value_float':
      return rawTensor(name, CODE.FLOAT, [], bytesOf(Float32Array.of(attribute.f)))
    case 'value_floats':
      return rawTensor(name, CODE.FLOAT, [floats.length], bytesOf(Float32Array.from(floats)))
    case 'value_int':
      return rawTensor(name, CODE.INT64, [], bytesOf(BigInt64Array.of(attribute.i)))
    case 'value_ints':
      return rawTensor(name, CODE.INT64, [ints.length], bytesOf(BigInt64Array.from(ints)))
    case 'value_string':
      return create(TensorProtoSchema, { name, dataType: CODE.STRING, stringData: [attribute.s] })
    case 'value_strings':
      return create(TensorProtoSchema, {
        name,
        dataType: CODE.STRING,
        dims: [BigInt(strings.length)],
        stringData: strings,
      })
    default:
      return undefined
  }
}

function inlineAttributes(attributes: readonly AttributeProto[], dir: string): void {
  for (const attribute of attributes) {
    if (attribute.t) attribute.t = inlined(attribute.t, dir)
    attribute.tensors = attribute.tensors.map((tensor) => inlined(tensor, dir))
    for (const tensor of sparseIn(attribute)) settleSparse(tensor, dir, inlined)
  }
}
