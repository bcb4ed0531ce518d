/**
 * Hides sequences inside layers.
 *
 * Sequences and optionals cannot be sent, so no boundary may separate the node that makes one from those that read it.
 * These nodes, and all nodes between them so that the graph stays acyclic, become one call of a local function, which is
 * one layer; ONNX Runtime inlines the function when it opens a session.
 */
import { create } from '@bufbuild/protobuf'
import type { Graph } from './working-graph.ts'
import {
  FunctionProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TypeProto,
} from '../proto/onnx_pb.ts'
import { bodiesOf, usesOf } from './scope.ts'

/** The domain of the functions made here. */
const DOMAIN = 'scission'
/** Local functions exist from this IR version on. */
const FUNCTIONS_IR_VERSION = 8n

/** Operators of the default domain whose outputs are sequences or optionals. */
const MAKERS = new Set([
  'SequenceConstruct',
  'SequenceEmpty',
  'SequenceInsert',
  'SequenceErase',
  'SequenceMap',
  'SplitToSequence',
  'Optional',
])

/** Replaces groups of nodes that share sequences by calls of local functions. */
export function wrapSequences(graph: Graph): void {
  const sequences = sequenceTensors(graph.nodes)
  if (sequences.size === 0) return
  const uses = new Map(graph.nodes.map((node) => [node, usesOf(node)]))
  const groups = connected(graph.nodes, uses, sequences)
  const merged = new Map<NodeProto, Set<NodeProto>>()
  for (const group of groups) {
    // A node in between may belong to another group: then both groups become one.
    const whole = between(graph.nodes, uses, group)
    const others = [...whole].flatMap((node) => [...(merged.get(node) ?? [])])
    for (const node of others) whole.add(node)
    for (const node of whole) merged.set(node, whole)
  }
  const calls = new Map<Set<NodeProto>, NodeProto>()
  for (const group of new Set(merged.values())) calls.set(group, wrap(graph, group, uses))
  graph.nodes = graph.nodes.flatMap((node) => {
    const group = merged.get(node)
    if (!group) return [node]
    const last = graph.nodes.findLast((member) => group.has(member))
    const call = calls.get(group)
    return node === last && call ? [call] : []
  })
  graph.opsets = [...graph.opsets, create(OperatorSetIdProtoSchema, { domain: DOMAIN, version: 1n })]
  if (graph.irVersion < FUNCTIONS_IR_VERSION) graph.irVersion = FUNCTIONS_IR_VERSION
}

function sequenceTensors(nodes: readonly NodeProto[]): Set<string> {
  const found = new Set<string>()
  for (const node of nodes) {
    const passed = node.opType === 'Identity' && found.has(node.input[0] ?? '')
    if (MAKERS.has(node.opType) || passed) for (const output of node.output) found.add(output)
    for (const body of bodiesOf(node)) {
      // A Loop's first body output is its condition, which is not among the Loop's outputs.
      const skipped = node.opType === 'Loop' ? 1 : 0
      for (const [index, output] of node.output.entries())
        if (output && isSequence(body.output[index + skipped]?.type)) found.add(output)
    }
  }
  return found
}

function isSequence(type: TypeProto | undefined): boolean {
  return type?.value.case === 'sequenceType' || type?.value.case === 'optionalType'
}

type Uses = ReadonlyMap<NodeProto, ReadonlySet<string>>

/** Groups of nodes connected by sequences. */
function connected(
  nodes: readonly NodeProto[],
  uses: Uses,
  sequences: ReadonlySet<string>,
): Set<NodeProto>[] {
  const groupOf = new Map<string, Set<NodeProto>>()
  const groups = new Set<Set<NodeProto>>()
  for (const node of nodes) {
    const touched = [...(uses.get(node) ?? []), ...node.output].filter((name) => sequences.has(name))
    if (touched.length === 0) continue
    const group = new Set([node])
    for (const name of touched) {
      const other = groupOf.get(name)
      if (!other) continue
      groups.delete(other)
      for (const member of other) group.add(member)
    }
    groups.add(group)
    for (const member of group)
      for (const name of [...(uses.get(member) ?? []), ...member.output])
        if (sequences.has(name)) groupOf.set(name, group)
  }
  return [...groups]
}

/** The group and every node on a path from one of its nodes to another. */
function between(nodes: readonly NodeProto[], uses: Uses, group: ReadonlySet<NodeProto>): Set<NodeProto> {
  const after = new Set<string>()
  const behind = new Set<NodeProto>()
  for (const node of nodes) {
    if (!group.has(node) && ![...(uses.get(node) ?? [])].some((name) => after.has(name))) continue
    behind.add(node)
    for (const output of node.output) if (output) after.add(output)
  }
  const needed = new Set<string>()
  const whole = new Set<NodeProto>()
  for (const node of nodes.toReversed()) {
    if (!group.has(node) && !(behind.has(node) && node.output.some((name) => needed.has(name)))) continue
    whole.add(node)
    for (const name of uses.get(node) ?? []) needed.add(name)
  }
  return whole
}

/** Adds the function to the graph and returns the call of it. */
function wrap(graph: Graph, group: ReadonlySet<NodeProto>, uses: Uses): NodeProto {
  const members = graph.nodes.filter((node) => group.has(node))
  const made = new Set(members.flatMap((node) => node.output.filter(Boolean)))
  const read = new Set(members.flatMap((node) => [...(uses.get(node) ?? [])]))
  const wanted = new Set(graph.outputs)
  for (const node of graph.nodes)
    if (!group.has(node)) for (const name of uses.get(node) ?? []) wanted.add(name)
  const input = [...read].filter((name) => !made.has(name))
  const output = [...made].filter((name) => wanted.has(name))
  const name = `Sequence_${graph.functions.length}`
  graph.functions = [
    ...graph.functions,
    create(FunctionProtoSchema, {
      name,
      domain: DOMAIN,
      input,
      output,
      node: members,
      opsetImport: graph.opsets,
    }),
  ]
  const label = `${members[0]?.name} … ${members.at(-1)?.name}`
  return create(NodeProtoSchema, { name: label, opType: name, domain: DOMAIN, input, output })
}
