/**
 * Names and scopes: the tensors that a node reads, including those captured by its control-flow bodies.
 *
 * A body (a graph in an attribute of If, Loop, Scan, …) can read the tensors of the graphs around it. A name that the
 * body defines itself, as input, initializer or node output, is local even if it also exists outside.
 */
import type { GraphProto, NodeProto, TensorProto } from '../proto/onnx_pb.ts'

/** The graphs in a node's attributes. */
export function bodiesOf({ attribute: attributes }: Pick<NodeProto, 'attribute'>): GraphProto[] {
  return attributes.flatMap((attribute) => [...(attribute.g ? [attribute.g] : []), ...attribute.graphs])
}

/** The constants inside a node's bodies, at any depth. */
export function bodyTensors(node: Pick<NodeProto, 'attribute'>): TensorProto[] {
  return bodiesOf(node).flatMap((body) => [...body.initializer, ...body.node.flatMap(bodyTensors)])
}

/** The names that a graph defines itself. */
export function definedIn(graph: GraphProto): Set<string> {
  const names = new Set<string>()
  for (const input of graph.input) names.add(input.name)
  for (const tensor of graph.initializer) names.add(tensor.name)
  for (const sparse of graph.sparseInitializer) if (sparse.values) names.add(sparse.values.name)
  for (const node of graph.node) for (const output of node.output) if (output) names.add(output)
  return names
}

/** The outer tensors that a body reads, in order of first use. */
function capturedBy(body: GraphProto): Set<string> {
  const own = definedIn(body)
  const captured = new Set<string>()
  const read = (name: string) => {
    if (name && !own.has(name)) captured.add(name)
  }
  for (const node of body.node) for (const name of usesOf(node)) read(name)
  for (const output of body.output) read(output.name)
  return captured
}

/** All tensors that a node reads: its inputs, then those captured by its bodies. Omitted optional inputs ('') do not count. */
export function usesOf(node: NodeProto): Set<string> {
  const uses = new Set<string>()
  for (const name of node.input) if (name) uses.add(name)
  for (const body of bodiesOf(node)) for (const name of capturedBy(body)) uses.add(name)
  return uses
}

/** The index of the node that makes each tensor. */
export function makersOf(nodes: readonly NodeProto[]): Map<string, number> {
  return new Map(nodes.flatMap(({ output }, index) => output.filter(Boolean).map((name) => [name, index])))
}

/** The nodes that `needed` tensors depend on, in order; what these nodes read is added to `needed`. */
export function nodesBehind(needed: Set<string>, nodes: readonly NodeProto[]): NodeProto[] {
  const behind: NodeProto[] = []
  for (const node of nodes.toReversed()) {
    if (!node.output.some((output) => needed.has(output))) continue
    behind.push(node)
    for (const name of usesOf(node)) needed.add(name)
  }
  return behind.reverse()
}

/**
 * Renames the tensors that a node and its bodies read. No body may define one of the new names (unique-names.ts).
 * @param names old name → new name.
 */
export function renameUses(node: NodeProto, names: ReadonlyMap<string, string>): void {
  node.input = node.input.map((name) => names.get(name) ?? name)
  for (const body of bodiesOf(node)) renameCaptures(body, names)
}

function renameCaptures(body: GraphProto, names: ReadonlyMap<string, string>): void {
  const own = definedIn(body)
  const outer = new Map([...names].filter(([from]) => !own.has(from)))
  if (outer.size === 0) return
  for (const node of body.node) renameUses(node, outer)
  for (const output of body.output) output.name = outer.get(output.name) ?? output.name
}

/** Renames tensors that a graph defines itself, wherever they are defined and read. @param names old name → new name. */
export function renameDefinitions(graph: GraphProto, names: ReadonlyMap<string, string>): void {
  const renamed = (name: string) => names.get(name) ?? name
  for (const value of [...graph.input, ...graph.output, ...graph.valueInfo]) value.name = renamed(value.name)
  for (const tensor of graph.initializer) tensor.name = renamed(tensor.name)
  for (const { values } of graph.sparseInitializer) if (values) values.name = renamed(values.name)
  for (const node of graph.node) {
    renameUses(node, names)
    node.output = node.output.map(renamed)
  }
}

/** The text for a node in errors: its operator, and its name or first output. */
export function nodeLabel(node: NodeProto): string {
  const label = node.name || node.output.find(Boolean) || ''
  return `${operatorOf(node)} "${label}"`
}

/**
 * The operator that a node is, if it is one of ONNX itself: in another domain the same name may mean anything. A local
 * function in ONNX's own domain does not replace the operator of its name (tried with ONNX Runtime 1.30).
 */
export function onnxOperator(node: NodeProto | undefined): string | undefined {
  return node && inDefaultDomain(node) ? node.opType : undefined
}

/** The same with the operators that ONNX Runtime adds in domains of its own (`com.microsoft`, `com.microsoft.nchwc`). */
export function runtimeOperator(node: NodeProto | undefined): string | undefined {
  const isRuntimes = node && (inDefaultDomain(node) || /^com\.microsoft($|\.)/.test(node.domain))
  return isRuntimes ? node.opType : undefined
}

/** `Conv`, or `com.microsoft::FusedConv` outside the default domain. */
export function operatorOf(node: NodeProto): string {
  return inDefaultDomain(node) ? node.opType : `${node.domain}::${node.opType}`
}

/** True for an operator of ONNX itself. */
export function inDefaultDomain({ domain }: NodeProto): boolean {
  return domain === '' || domain === 'ai.onnx'
}
