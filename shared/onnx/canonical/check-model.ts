/**
 * Checks a graph before anything else uses it: names are unique and defined, tensors are sound, there is no cycle. Each
 * refusal names the node and the tensor.
 *
 * ONNX Runtime checks much of this too, but its messages are about its own data structures, and a graph that breaks these
 * rules would break our own algorithms before ONNX Runtime reads it.
 */
import { ScissionError } from '../../platform/errors.ts'
import type { ExternalFiles } from '../wire/external-data.ts'
import type {
  AttributeProto,
  GraphProto,
  ModelProto,
  NodeProto,
  SparseTensorProto,
} from '../proto/onnx_pb.ts'
import { bodiesOf, definedIn, makersOf, nodeLabel, sparseIn } from './scope.ts'
import type { Skeleton } from '../wire/skeleton.ts'
import { checkTensor } from '../wire/tensor-data.ts'

function refuse(message: string, details: Record<string, unknown>): ScissionError {
  return new ScissionError('invalidModel', message, details)
}

/** @throws ScissionError invalidModel: without opsets no operator has a meaning. */
export function refuseWithoutOpsets(model: ModelProto): void {
  if (model.opsetImport.length > 0) return
  throw refuse(
    'the model has no opset_import, so the meaning of its operators is undefined: export it again with a newer tool',
    {},
  )
}

/** Checks names, scopes, tensors and order. @throws ScissionError invalidModel */
export function checkModel({ model, graph }: Skeleton, files: ExternalFiles): void {
  refuseWithoutOpsets(model)
  checkOutputs(graph)
  checkGraph(graph, new Set(), files)
  for (const fn of model.functions) {
    checkTensors(fn.attributeProto, fn.name, files)
    for (const node of fn.node) checkTensors(node.attribute, labelOf(node), files)
  }
}

/** Checks the tensors in attributes and in the bodies inside them; names in functions are left to ONNX Runtime. */
function checkTensors(attributes: AttributeProto[], label: string, files: ExternalFiles): void {
  checkAttributes(attributes, label, files)
  for (const body of bodiesOf({ attribute: attributes })) {
    checkConstants(body, files)
    for (const node of body.node) checkTensors(node.attribute, labelOf(node), files)
  }
}

function checkGraph(graph: GraphProto, outer: ReadonlySet<string>, files: ExternalFiles): void {
  checkUnique(graph)
  checkConstants(graph, files)
  const visible = new Set([...outer, ...definedIn(graph)])
  for (const node of graph.node) {
    if (!node.opType) throw refuse(`node ${nodeLabel(node)} names no operator`, { node: node.name })
    for (const name of node.input) {
      if (name && !visible.has(name)) {
        throw refuse(`node ${nodeLabel(node)} reads the tensor "${name}", which nothing makes`, {
          node: node.name,
          tensor: name,
        })
      }
    }
    checkAttributes(node.attribute, labelOf(node), files)
    for (const body of bodiesOf(node)) checkGraph(body, visible, files)
  }
  for (const output of graph.output) {
    if (!visible.has(output.name)) {
      throw refuse(`the graph output "${output.name}" is made by nothing`, { tensor: output.name })
    }
  }
}

function checkConstants(graph: GraphProto, files: ExternalFiles): void {
  for (const tensor of graph.initializer) checkTensor(tensor, files)
  for (const tensor of graph.sparseInitializer) checkSparse(tensor, tensor.values?.name ?? '', files)
}

/** Checks the parts of a sparse tensor, of which only the values may have a name. */
function checkSparse({ values, indices }: SparseTensorProto, label: string, files: ExternalFiles): void {
  if (!values || !indices)
    throw refuse(`the sparse tensor "${label}" has no ${values ? 'indices' : 'values'}`, { tensor: label })
  values.name ||= label
  indices.name ||= `${values.name}/indices`
  checkTensor(values, files)
  checkTensor(indices, files)
}

function checkUnique(graph: GraphProto): void {
  const makers = new Map<string, string>()
  const define = (name: string, maker: string) => {
    const other = makers.get(name)
    if (other !== undefined)
      throw refuse(`the tensor "${name}" is defined twice: by ${other} and by ${maker}`, { tensor: name })
    makers.set(name, maker)
  }
  for (const input of graph.input) define(input.name, 'a graph input')
  // An initializer with an input's name is that input's default value (the rule up to IR version 3).
  const inputs = new Set(makers.keys())
  const initializers = new Set(graph.initializer.map(({ name }) => name))
  if (initializers.has('')) throw refuse('an initializer has no name', {})
  for (const name of initializers) if (!inputs.has(name)) define(name, 'an initializer')
  for (const sparse of graph.sparseInitializer) define(sparse.values?.name ?? '', 'a sparse initializer')
  for (const node of graph.node) {
    for (const output of node.output) if (output) define(output, `node ${nodeLabel(node)}`)
  }
}

/** A body may list one tensor twice among its outputs; a model may not, since its outputs are identified by name. */
function checkOutputs(graph: GraphProto): void {
  if (graph.output.length === 0) throw refuse('the graph has no output', {})
  const outputs = new Set<string>()
  for (const output of graph.output) {
    if (outputs.has(output.name))
      throw refuse(`the graph output "${output.name}" is listed twice`, { tensor: output.name })
    outputs.add(output.name)
  }
}

const labelOf = (node: NodeProto) => node.name || node.output[0] || node.opType

function checkAttributes(attributes: readonly AttributeProto[], label: string, files: ExternalFiles): void {
  for (const attribute of attributes) {
    for (const tensor of tensorsOf(attribute)) {
      // Such tensors are often unnamed; with a name, errors can identify them.
      if (!tensor.name) tensor.name = `${label}/${attribute.name}`
      checkTensor(tensor, files)
    }
    for (const tensor of sparseIn(attribute)) checkSparse(tensor, `${label}/${attribute.name}`, files)
  }
}

function tensorsOf(attribute: AttributeProto) {
  return attribute.t ? [attribute.t, ...attribute.tensors] : attribute.tensors
}

/**
 * Indices of the nodes in topological order: the file's own order if it is topological, else the earliest possible node
 * first.
 * @param uses the tensors that each node reads.
 * @throws ScissionError invalidModel naming a node and a tensor of the cycle.
 */
export function topologicalOrder(
  nodes: readonly NodeProto[],
  uses: readonly ReadonlySet<string>[],
): number[] {
  const maker = makersOf(nodes)
  const order: number[] = []
  const state = new Uint8Array(nodes.length)
  // Depth first with an explicit stack: real graphs are deeper than the call stack.
  for (let start = 0; start < nodes.length; start++) {
    const stack = [start]
    while (stack.length > 0) {
      const index = stack.at(-1) ?? 0
      if (state[index] !== NEW) {
        stack.pop()
        if (state[index] === OPEN) order.push(index)
        state[index] = DONE
        continue
      }
      state[index] = OPEN
      const needed = [...(uses[index] ?? [])].flatMap((name) => {
        const from = maker.get(name)
        return from === undefined || state[from] === DONE ? [] : [{ name, from }]
      })
      for (const { name, from } of needed) {
        if (state[from] === OPEN) throw cycle(nodes[from], name)
      }
      stack.push(...needed.map(({ from }) => from).sort((a, b) => b - a))
    }
  }
  return order
}

const NEW = 0
const OPEN = 1
const DONE = 2

function cycle(node: NodeProto | undefined, tensor: string): ScissionError {
  const label = node ? nodeLabel(node) : 'a node'
  return refuse(`the graph has a cycle: ${label} needs its own output "${tensor}"`, {
    node: node?.name,
    tensor,
  })
}
