/**
 * Makes one layer of several nodes: a call of a local function that holds them. ONNX Runtime inlines it when it opens a
 * session, so nothing is lost but the boundaries inside.
 */
import { create } from '@bufbuild/protobuf'
import {
  FunctionProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from '../proto/onnx_pb.ts'
import { topologicalOrder } from './check-model.ts'
import { usesOf } from './scope.ts'
import type { Graph } from './working-graph.ts'

/** The domain of the functions made here. */
const DOMAIN = 'scission'
/** Local functions exist from this IR version on. */
const FUNCTIONS_IR_VERSION = 8n

/**
 * Replaces each group of nodes by a call.
 * @param nodes in order; at least those of all groups. @param groups nodes in order; joining them must make no cycle.
 * @returns the nodes in order.
 */
export function joinNodes(
  graph: Graph,
  nodes: readonly NodeProto[],
  groups: readonly (readonly NodeProto[])[],
): NodeProto[] {
  const wanted = new Map<string, number>()
  for (const name of [...graph.outputs, ...graph.nodes.flatMap((node) => [...usesOf(node)])])
    wanted.set(name, (wanted.get(name) ?? 0) + 1)
  const calls = new Map<NodeProto, NodeProto | undefined>()
  for (const group of groups) {
    for (const node of group) calls.set(node, undefined)
    calls.set(group.at(-1)!, wrap(graph, group, wanted))
  }
  if (!graph.opsets.some(({ domain }) => domain === DOMAIN))
    graph.opsets = [...graph.opsets, create(OperatorSetIdProtoSchema, { domain: DOMAIN, version: 1n })]
  if (graph.irVersion < FUNCTIONS_IR_VERSION) graph.irVersion = FUNCTIONS_IR_VERSION
  const kept = nodes.flatMap((node) => (calls.has(node) ? (calls.get(node) ?? []) : node))
  return topologicalOrder(kept, kept.map(usesOf)).flatMap((index) => kept[index] ?? [])
}

/** The nodes behind a call that `joinNodes` made; undefined for any other node. */
export function joinedNodes({ functions }: Graph, node: NodeProto): NodeProto[] | undefined {
  if (node.domain !== DOMAIN) return undefined
  return functions.find(({ name, domain }) => domain === DOMAIN && name === node.opType)?.node
}

/** Adds a function of the nodes to the graph. @param wanted how many readers each tensor has. @returns the call of it. */
function wrap(graph: Graph, group: readonly NodeProto[], wanted: ReadonlyMap<string, number>): NodeProto {
  // Flat: ONNX Runtime refuses a call inside a function if a constant of 8 or 4 bits is passed on to it.
  const members = group.flatMap((node) => joinedNodes(graph, node) ?? node)
  const calls = new Set(group.filter((node) => joinedNodes(graph, node)).map(({ opType }) => opType))
  const made = new Set(members.flatMap((node) => node.output.filter(Boolean)))
  const readInside = new Map<string, number>()
  for (const name of members.flatMap((node) => [...usesOf(node)]))
    readInside.set(name, (readInside.get(name) ?? 0) + 1)
  const input = [...readInside.keys()].filter((name) => !made.has(name))
  const output = [...made].filter((name) => (wanted.get(name) ?? 0) > (readInside.get(name) ?? 0))
  const opType = freeName(graph)
  const fn = { name: opType, domain: DOMAIN, input, output, node: [...members], opsetImport: graph.opsets }
  const others = graph.functions.filter(({ name, domain }) => domain !== DOMAIN || !calls.has(name))
  graph.functions = [...others, create(FunctionProtoSchema, fn)]
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
