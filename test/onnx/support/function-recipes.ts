/** Random models of functions in bodies in functions, with weights at every depth; each operator keeps its input's shape. */
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import {
  FunctionProtoSchema,
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
  type TensorProto,
} from '../../../shared/onnx/proto/onnx_pb.ts'
import { DataType, floats, graph, ints, model, node, value } from './build.ts'

export type Step =
  | { kind: 'unary'; op: string }
  /** Adds the mean of a weight. Large ones have 1,600 bytes. */
  | { kind: 'weight'; isLarge: boolean; isInitializer: boolean }
  | { kind: 'if'; yes: Step[]; no: Step[] }
  | { kind: 'loop' | 'scan'; body: Step[] }
  /** Calls a function further down the list: none if there is none. */
  | { kind: 'call'; ahead: number }

export interface Recipe {
  /** The body of each function. */
  functions: Step[][]
  main: Step[]
  /** Keeps the large weights in a file of their own. */
  isSeparate: boolean
}

const unary: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('unary' as const),
  op: fc.constantFrom('Relu', 'Sigmoid', 'Tanh', 'Neg'),
})
const weight: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('weight' as const),
  isLarge: fc.boolean(),
  isInitializer: fc.boolean(),
})
const call: fc.Arbitrary<Step> = fc.record({ kind: fc.constant('call' as const), ahead: fc.nat(2) })

/** Up to `maxLength` steps, with bodies nested up to `depth` deep. */
function steps(
  depth: number,
  maxLength: number,
  leaves = [weight, weight, call, unary],
): fc.Arbitrary<Step[]> {
  if (depth === 0) return fc.array(fc.oneof(...leaves), { minLength: 1, maxLength })
  const body = steps(depth - 1, 2)
  const choice = fc.record({ kind: fc.constant('if' as const), yes: body, no: body })
  const repetition = fc.record({ kind: fc.constantFrom('loop' as const, 'scan' as const), body })
  return fc.array(fc.oneof(...leaves, choice, repetition), { minLength: 1, maxLength })
}

export const recipes: fc.Arbitrary<Recipe> = fc.record({
  functions: fc.array(steps(2, 2), { minLength: 1, maxLength: 3 }),
  // Without weights of its own, which would be folded.
  main: steps(1, 4, [call, call, unary]),
  isSeparate: fc.boolean(),
})

/** Of all tensors but weights. ONNX Runtime infers it in no Loop, and Scan needs it. */
const SHAPE = [2, 4]

/** Where steps are written to: constants of a graph may be initializers, a function has none. */
interface Scope {
  nodes: NodeProto[]
  initializers: TensorProto[] | undefined
}

/** Two of a kind differ only in their overload. */
const nameOf = (index: number) => ({ domain: `test.${index % 4 < 2 ? 'a' : 'b'}`, name: `F${index >> 2}` })
const overloadOf = (index: number) => (index % 2 === 0 ? '' : 'other')

class Cook {
  readonly #functionCount: number
  #count = 0

  constructor(functionCount: number) {
    this.#functionCount = functionCount
  }

  /** @param at index of the function that the steps belong to; -1 for the graph. @returns the tensor that they make. */
  write(given: readonly Step[], from: string, at: number, scope: Scope): string {
    return given.reduce((input, step) => this.#step(step, input, at, scope), from)
  }

  #step(step: Step, from: string, at: number, scope: Scope): string {
    const to = this.#fresh()
    const add = (...nodes: NodeProto[]) => scope.nodes.push(...nodes)
    switch (step.kind) {
      case 'unary':
        add(node(step.op, [from], [to]))
        return to
      case 'weight': {
        const name = this.#constant(
          floats('', [step.isLarge ? 100 : 5, 4], this.#values()),
          step.isInitializer,
          scope,
        )
        add(
          node('ReduceMean', [name], [`${to}m`], { axes: [0], keepdims: 0 }),
          node('Add', [from, `${to}m`], [to]),
        )
        return to
      }
      case 'if': {
        const zero = this.#constant(floats('', [], [0]), false, scope)
        add(
          node('ReduceSum', [from], [`${to}s`], { keepdims: 0 }),
          node('Greater', [`${to}s`, zero], [`${to}c`]),
          node('If', [`${to}c`], [to], {
            then_branch: this.#body(step.yes, from, at),
            else_branch: this.#body(step.no, from, at),
          }),
        )
        return to
      }
      case 'loop': {
        const turns = this.#constant(ints('', [2], []), false, scope)
        add(node('Loop', [turns, '', from], [to], { body: this.#repeated(step.body, at, 'loop') }))
        return to
      }
      case 'scan': {
        const ticks = this.#constant(floats('', [2], [0]), false, scope)
        const body = this.#repeated(step.body, at, 'scan')
        add(node('Scan', [from, ticks], [to], { body, num_scan_inputs: 1 }))
        return to
      }
      case 'call': {
        const index = at + 1 + step.ahead
        if (index >= this.#functionCount) return from
        const { domain, name } = nameOf(index)
        const made = node(name, [from], [to], {}, { domain })
        made.overload = overloadOf(index)
        add(made)
        return to
      }
    }
  }

  #body(given: readonly Step[], from: string, at: number) {
    const scope = { nodes: [], initializers: [] as TensorProto[] }
    const last = this.write(given, from, at, scope)
    return this.#graph(scope, last)
  }

  #repeated(given: readonly Step[], at: number, kind: 'loop' | 'scan') {
    const name = this.#fresh()
    const scope: Scope & { initializers: TensorProto[] } = { nodes: [], initializers: [] }
    const last = this.write(given, `${name}state`, at, scope)
    if (kind === 'scan')
      return this.#graph(scope, last, [value(`${name}state`, SHAPE), value(`${name}tick`, [])])
    scope.nodes.push(node('Identity', [`${name}go`], [`${name}on`]))
    const made = this.#graph(scope, last, [
      value(`${name}i`, [], DataType.INT64),
      value(`${name}go`, [], DataType.BOOL),
      value(`${name}state`, SHAPE),
    ])
    made.output.unshift(value(`${name}on`, [], DataType.BOOL))
    return made
  }

  /** A body must make what it gives: it may not hand on a tensor of its surroundings. */
  #graph(
    scope: Scope & { initializers: TensorProto[] },
    last: string,
    inputs: ReturnType<typeof value>[] = [],
  ) {
    const to = this.#fresh()
    const nodes = [...scope.nodes, node('Identity', [last], [to])]
    return graph({ nodes, inputs, outputs: [value(to, SHAPE)], constants: scope.initializers }, to)
  }

  #constant(tensor: TensorProto, isInitializer: boolean, { nodes, initializers }: Scope): string {
    const name = this.#fresh()
    if (isInitializer && initializers) initializers.push({ ...tensor, name })
    else nodes.push(node('Constant', [], [name], { value: tensor }))
    return name
  }

  #fresh(): string {
    return `t${this.#count++}`
  }

  /** Different for each weight. */
  #values(): number[] {
    return [1, 2, 3].map((i) => Math.sin(7 * this.#count + i) / 4)
  }
}

/** The model of a recipe: x [2, 4] → y, whose last layer is a Sigmoid. */
export function cookFunctions({ functions, main }: Recipe): ModelProto {
  const cook = new Cook(functions.length)
  const opset = (domain: string, version: bigint) => create(OperatorSetIdProtoSchema, { domain, version })
  const opsets = [opset('', 17n), opset('test.a', 1n), opset('test.b', 1n)]
  const scope: Scope = { nodes: [], initializers: [] }
  scope.nodes.push(node('Abs', ['x'], ['first']))
  scope.nodes.push(node('Sigmoid', [cook.write(main, 'first', -1, scope)], ['y']))
  const given = model(
    {
      nodes: scope.nodes,
      inputs: [value('x', SHAPE)],
      outputs: [value('y', undefined)],
      constants: scope.initializers ?? [],
    },
    17,
    10,
  )
  given.opsetImport = opsets
  given.functions = functions.map((body, index) => {
    const own: Scope = { nodes: [], initializers: undefined }
    const last = cook.write(body, 'a', index, own)
    own.nodes.push(node('Identity', [last], ['b']))
    const overload = overloadOf(index)
    return create(FunctionProtoSchema, {
      ...nameOf(index),
      overload,
      input: ['a'],
      output: ['b'],
      node: own.nodes,
      opsetImport: opsets,
    })
  })
  return given
}
