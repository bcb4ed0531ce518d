/**
 * Finds what can run away: a node whose time, or the size of whose output, is told by the values of a model's inputs and not
 * by their shapes. No limit on the inputs of such a model limits its run, so it runs where it can be ended: in a process.
 *
 * A node that is told by constants is bounded, because the model was tried once before it serves. That holds only where every
 * run comes by: in a branch that is taken or not, large constants count as well.
 */
import type { FunctionProto, GraphProto, ModelProto, NodeProto } from '../proto/onnx_pb.ts'
import { bodiesOf, nodeLabel, onnxOperator, operatorOf } from '../canonical/scope.ts'
import { functionsByKey, operatorKey } from '../canonical/functions.ts'
import { NodeValues } from '../trial/node-values.ts'
import { type Dependence, dependenceOf, strongest } from './dependence.ts'
import { isSizedByAttributes, sizingInputsOf, whyUnbounded } from './sizing-inputs.ts'

/** Elements that a constant in a branch may ask for: 4 MiB of FP32. */
const MAX_UNTRIED_ELEMENTS = 2 ** 20
/** Functions may call each other; ONNX Runtime refuses circles, and nobody writes so many levels. */
const MAX_DEPTH = 64

/** The tensors that nodes can see, and where the nodes are. */
interface Scope {
  known: Map<string, Dependence>
  outer: Scope | undefined
  /** Whether every run, the trial too, comes by. */
  isTried: boolean
  depth: number
}

/** @returns which node can run away and why, in words; undefined if none can. */
export function findRunaway({
  graph,
  functions,
}: Pick<ModelProto, 'graph' | 'functions'>): string | undefined {
  return graph && new Finder(functions).model(graph)
}

class Finder {
  readonly #functions: ReadonlyMap<string, { fn: FunctionProto }>
  /** Call of a function, with what its inputs depend on → what its outputs do. */
  readonly #called = new Map<string, readonly Dependence[]>()
  readonly #constants = new NodeValues(new Map(), new Map())
  #found: string | undefined

  constructor(functions: readonly FunctionProto[]) {
    this.#functions = functionsByKey(functions, (fn) => ({ fn }))
  }

  model(graph: GraphProto): string | undefined {
    const scope: Scope = { known: new Map(), outer: undefined, isTried: true, depth: 0 }
    this.#graph(graph, scope, () => 'values')
    return this.#found
  }

  /** @param given what the inputs depend on, by their place. @returns what the outputs depend on. */
  #graph(graph: GraphProto, scope: Scope, given: (place: number) => Dependence): Dependence[] {
    this.#constants.add(graph.initializer)
    for (const { name } of graph.initializer) scope.known.set(name, 'constant')
    for (const { values } of graph.sparseInitializer) if (values) scope.known.set(values.name, 'constant')
    for (const [place, { name }] of graph.input.entries()) scope.known.set(name, given(place))
    this.#nodes(graph.node, scope)
    return graph.output.map(({ name }) => lookUp(scope, name))
  }

  #nodes(nodes: readonly NodeProto[], scope: Scope): void {
    if (scope.depth > MAX_DEPTH) this.#report('a node', `is nested deeper than ${MAX_DEPTH} levels`)
    for (const node of nodes) {
      if (this.#found !== undefined) return
      const inputs = node.input.map((name) => (name ? lookUp(scope, name) : 'constant'))
      const made = this.#node(node, inputs, scope)
      for (const [place, name] of node.output.entries())
        if (name) scope.known.set(name, made[place] ?? made[0] ?? 'values')
    }
  }

  /** @returns what its outputs depend on: one for each, or one for all. */
  #node(node: NodeProto, inputs: readonly Dependence[], scope: Scope): readonly Dependence[] {
    const operator = onnxOperator(node)
    if (operator === 'Loop') return this.#loop(node, inputs, scope)
    if (operator === 'If') return this.#branches(node, inputs[0] ?? 'values', scope)
    const called = this.#functions.get(operatorKey(node))
    if (called && operator === undefined) return this.#call(called.fn, operatorKey(node), inputs, scope)
    if (operator === 'Constant') this.#keepConstant(node)
    this.#checkSizes(node, inputs, scope)
    const bodies = bodiesOf(node)
    // A Scan and its like: each element of what it goes over depends on what the whole does; a state on whatever the body does.
    for (const body of bodies) this.#graph(body, below(scope), () => 'values')
    return [bodies.length > 0 ? 'values' : dependenceOf(node, inputs)]
  }

  #checkSizes(node: NodeProto, inputs: readonly Dependence[], scope: Scope): void {
    const operator = operatorOf(node)
    const why = whyUnbounded(operator)
    if (why !== undefined) return this.#report(nodeLabel(node), why)
    if (!scope.isTried && isSizedByAttributes(operator) && sizingInputs(node).length === 0)
      return this.#report(nodeLabel(node), 'makes, in a branch, what its attributes say')
    for (const place of sizingInputs(node)) {
      const name = node.input[place] ?? ''
      if (inputs[place] === 'values')
        return this.#report(nodeLabel(node), `makes as much as the values of "${name}" say`)
      if (!scope.isTried && inputs[place] === 'constant' && !this.#isSmall(name))
        return this.#report(nodeLabel(node), `makes, in a branch, as much as "${name}" says`)
    }
  }

  /** Whether a constant asks for little, as a size, as sizes and as numbers. */
  #isSmall(name: string): boolean {
    const numbers = this.#constants.numbers(name)
    const product = numbers?.reduce((all, one) => all * Math.max(1, Math.abs(one)), 1)
    return product !== undefined && product <= MAX_UNTRIED_ELEMENTS
  }

  #keepConstant(node: NodeProto): void {
    const [name = ''] = node.output
    const value = node.attribute.find((one) => one.name === 'value')?.t
    if (value) this.#constants.add([{ ...value, name }])
  }

  #loop(node: NodeProto, inputs: readonly Dependence[], scope: Scope): readonly Dependence[] {
    const [trips = 'constant', condition = 'constant', ...initial] = inputs
    const [body] = bodiesOf(node)
    const label = nodeLabel(node)
    if (!body || !scope.isTried) {
      this.#report(label, 'takes, in a branch, as many turns as it says')
      return ['values']
    }
    // What a loop carries may grow with every turn: turns that follow from shapes are not enough.
    if (node.input[0] && trips !== 'constant')
      this.#report(label, `takes as many turns as "${node.input[0]}" says`)
    if (condition !== 'constant') this.#report(label, `begins or not as "${node.input[1]}" says`)
    // What is carried into a turn depends on all that the turn before made of it: until nothing changes any more.
    let carried: readonly Dependence[] = initial
    for (;;) {
      const before = carried
      const turn = ['constant', condition, ...before] as const
      const made = this.#graph(body, below(scope), (place) => turn[place] ?? 'values')
      if (made[0] !== 'constant') this.#report(label, 'goes on for as long as its values say')
      carried = before.map((one, place) => strongest([one, made[place + 1] ?? 'values']))
      if (this.#found !== undefined || carried.every((one, place) => one === before[place]))
        return [...carried, ...made.slice(1 + carried.length)]
    }
  }

  #branches(node: NodeProto, condition: Dependence, scope: Scope): readonly Dependence[] {
    const isTried = scope.isTried && condition === 'constant'
    const made = bodiesOf(node).map((body) => this.#graph(body, { ...below(scope), isTried }, () => 'values'))
    return node.output.map((_, place) => strongest([condition, ...made.map((one) => one[place] ?? 'values')]))
  }

  #call(fn: FunctionProto, key: string, inputs: readonly Dependence[], scope: Scope): readonly Dependence[] {
    const id = `${key}\n${scope.isTried} ${inputs.join()}`
    const before = this.#called.get(id)
    if (before) return before
    const known = new Map(fn.input.map((name, place) => [name, inputs[place] ?? 'constant']))
    const inside: Scope = { known, outer: undefined, isTried: scope.isTried, depth: scope.depth + 1 }
    this.#nodes(fn.node, inside)
    const made = fn.output.map((name) => lookUp(inside, name))
    this.#called.set(id, made)
    return made
  }

  #report(label: string, why: string): void {
    this.#found ??= `${label} ${why}`
  }
}

const sizingInputs = (node: NodeProto) =>
  sizingInputsOf(operatorOf(node)).filter((place) => node.input[place])

const below = (outer: Scope): Scope => ({
  known: new Map(),
  outer,
  isTried: outer.isTried,
  depth: outer.depth + 1,
})

/** What a tensor depends on. One that nobody made is an input that somebody left out. */
function lookUp(scope: Scope, name: string): Dependence {
  for (let at: Scope | undefined = scope; at; at = at.outer) {
    const found = at.known.get(name)
    if (found !== undefined) return found
  }
  return 'values'
}
