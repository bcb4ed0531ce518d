/**
 * Hides inside layers what cannot be sent.
 *
 * Sequences, maps and optionals are no tensors, and some element types (bfloat16, float8, int4) are not in the protocol or
 * not in onnxruntime-node. No boundary may separate the node that makes such a value from those that read it. These nodes,
 * and all nodes on a path from one of them to another, become one call of a local function, which is one layer; ONNX Runtime
 * inlines the function when it opens a session. Which values these are is what ONNX Runtime says of their types: no list of
 * operators would know what a function or a branch returns.
 */
import { create } from '@bufbuild/protobuf'
import {
  FunctionProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from '../proto/onnx_pb.ts'
import { elementTypeOf } from '../wire/element-types.ts'
import { topologicalOrder } from './check-model.ts'
import { stronglyConnected } from './components.ts'
import { constantNodes } from './fold.ts'
import type { Types } from './infer-shapes.ts'
import { makersOf, usesOf } from './scope.ts'
import type { Graph } from './working-graph.ts'

/** The domain of the functions made here. */
const DOMAIN = 'scission'
/** Local functions exist from this IR version on. */
const FUNCTIONS_IR_VERSION = 8n

/**
 * Replaces each group of nodes that share unsendable values by a call of a local function. Constants are left alone: each
 * range computes them again.
 * @returns whether there were any.
 */
export function hideUnsendable(graph: Graph, types: Types): boolean {
  const constant = constantNodes(graph)
  const nodes = graph.nodes.filter((node) => !constant.has(node))
  const groups = groupsOf(nodes, (name) => !elementTypeOf(types.get(name)?.code ?? 0)?.datatype)
  if (groups.length === 0) return false
  const wanted = new Map<string, number>()
  for (const name of [...graph.outputs, ...graph.nodes.flatMap((node) => [...usesOf(node)])])
    wanted.set(name, (wanted.get(name) ?? 0) + 1)
  const calls = new Map<NodeProto, NodeProto | undefined>()
  for (const group of groups) {
    for (const node of group) calls.set(node, undefined)
    calls.set(group.at(-1)!, wrap(graph, group, wanted))
  }
  const kept = graph.nodes.flatMap((node) => (calls.has(node) ? (calls.get(node) ?? []) : node))
  graph.nodes = topologicalOrder(kept, kept.map(usesOf)).flatMap((index) => kept[index] ?? [])
  if (!graph.opsets.some(({ domain }) => domain === DOMAIN))
    graph.opsets = [...graph.opsets, create(OperatorSetIdProtoSchema, { domain: DOMAIN, version: 1n })]
  if (graph.irVersion < FUNCTIONS_IR_VERSION) graph.irVersion = FUNCTIONS_IR_VERSION
  return true
}

/** The nodes that must stay together, in order. */
function groupsOf(nodes: readonly NodeProto[], isUnsendable: (name: string) => boolean): NodeProto[][] {
  const maker = makersOf(nodes)
  const uses = nodes.map((node) =>
    [...usesOf(node)].flatMap((name) => {
      const from = maker.get(name)
      return from === undefined ? [] : [{ name, from }]
    }),
  )
  const makes = new Set<number>()
  for (const [name, index] of maker) if (isUnsendable(name)) makes.add(index)
  if (makes.size === 0) return []
  // The maker of an unsendable value also depends on its readers: so they are on a cycle, with all nodes between them.
  const back = new Map<number, number[]>()
  for (const [index, read] of uses.entries())
    for (const { name, from } of read)
      if (isUnsendable(name)) back.set(from, [...(back.get(from) ?? []), index])
  const component = stronglyConnected(nodes.length, (index) => [
    ...(uses[index] ?? []).map(({ from }) => from),
    ...(back.get(index) ?? []),
  ])
  const hiding = new Set([...makes].map((index) => component[index]))
  const groups = new Map<number, NodeProto[]>()
  for (const [index, node] of nodes.entries()) {
    const number = component[index] ?? 0
    if (hiding.has(number)) groups.set(number, [...(groups.get(number) ?? []), node])
  }
  return [...groups.values()]
}

/** Adds a function of the nodes to the graph. @param wanted how many readers each tensor has. @returns the call of it. */
function wrap(graph: Graph, members: readonly NodeProto[], wanted: ReadonlyMap<string, number>): NodeProto {
  const made = new Set(members.flatMap((node) => node.output.filter(Boolean)))
  const readInside = new Map<string, number>()
  for (const name of members.flatMap((node) => [...usesOf(node)]))
    readInside.set(name, (readInside.get(name) ?? 0) + 1)
  const input = [...readInside.keys()].filter((name) => !made.has(name))
  const output = [...made].filter((name) => (wanted.get(name) ?? 0) > (readInside.get(name) ?? 0))
  const opType = freeName(graph)
  const fn = { name: opType, domain: DOMAIN, input, output, node: [...members], opsetImport: graph.opsets }
  graph.functions = [...graph.functions, create(FunctionProtoSchema, fn)]
  const name = members.length === 1 ? members[0]?.name : `${members[0]?.name} … ${members.at(-1)?.name}`
  return create(NodeProtoSchema, { name: name ?? '', opType, domain: DOMAIN, input, output })
}

/** A model that Scission wrote, uploaded again, has such functions already. */
function freeName({ functions }: Graph): string {
  const taken = new Set(functions.filter(({ domain }) => domain === DOMAIN).map(({ name }) => name))
  let number = taken.size
  while (taken.has(`Group_${number}`)) number++
  return `Group_${number}`
}
