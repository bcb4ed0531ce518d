/**
 * Gives every tensor of a graph and of the bodies inside it a name of its own.
 *
 * A body may define a name that also exists outside, and two bodies often define the same one. Nodes then cannot be moved
 * out of a body, nor the tensors that it captures be renamed, without the danger that a name means another tensor where it
 * arrives. With unique names both are plain substitutions.
 */
import { ScissionError } from '../../platform/errors.ts'
import type { GraphProto } from '../proto/onnx_pb.ts'
import { bodiesOf, definedIn, renameDefinitions } from './scope.ts'

/**
 * Names that onnxruntime-node cannot hand out: its results are properties of a plain object, and setting this one sets the
 * object's prototype.
 */
const IMPOSSIBLE = '__proto__'

/** The names in use: of the graph's tensors, and of those in its bodies. */
export class Names {
  readonly #taken: Set<string>

  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken)
  }

  /** @returns `base`, with `_` appended until nothing has the name; it is in use from then on. */
  fresh(base: string): string {
    let name = base
    while (this.#taken.has(name)) name += '_'
    this.#taken.add(name)
    return name
  }
}

/**
 * Renames, in place, tensors whose name is taken by one of a graph around them or of an earlier body.
 * @returns all names. @throws ScissionError invalidModel for a graph output whose name cannot be handed out.
 */
export function makeNamesUnique(graph: GraphProto): Names {
  refuseImpossible(graph)
  const names = new Names([...allNames(graph), IMPOSSIBLE])
  const isInput = graph.input.some(({ name }) => name === IMPOSSIBLE)
  claim(graph, new Set(isInput ? [] : [IMPOSSIBLE]), names)
  return names
}

function refuseImpossible(graph: GraphProto): void {
  if (!graph.output.some(({ name }) => name === IMPOSSIBLE)) return
  throw new ScissionError(
    'invalidModel',
    `the graph output "${IMPOSSIBLE}" has a name that ONNX Runtime's JavaScript interface cannot hand out: rename it`,
    { tensor: IMPOSSIBLE },
  )
}

function* allNames(graph: GraphProto): Iterable<string> {
  yield* definedIn(graph)
  for (const node of graph.node) for (const body of bodiesOf(node)) yield* allNames(body)
}

function claim(graph: GraphProto, claimed: Set<string>, names: Names): void {
  const renamed = new Map<string, string>()
  for (const name of definedIn(graph)) {
    if (claimed.has(name)) renamed.set(name, names.fresh(name))
    claimed.add(renamed.get(name) ?? name)
  }
  if (renamed.size > 0) renameDefinitions(graph, renamed)
  for (const node of graph.node) for (const body of bodiesOf(node)) claim(body, claimed, names)
}
