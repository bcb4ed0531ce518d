/**
 * A graph under construction: the main one, the body of an If, Loop or Scan, or a function. It knows which tensors its next
 * node may read, so that whatever is added gives a valid model.
 *
 * Nearly all pieces take a tensor of one shape (`HUB`, single precision) and give one: so any piece may follow any other, at
 * any depth.
 */
import type { FunctionProto, GraphProto, NodeProto, TensorProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import {
  type AttributeValue,
  DataType,
  floats,
  graph,
  ints,
  node,
  tensorOf,
  untyped,
  value,
} from '../support/build.ts'
import type { Draw } from './draw.ts'

export const HUB = [2, 8]

/** What all bodies of one model share. */
export interface World {
  draw: Draw
  opset: number
  functions: FunctionProto[]
  /** What a body is given may have the names of tensors around it, and what it makes those of later ones. */
  shadows: boolean
  /** Makes the name of a tensor of its count. */
  label: (prefix: string, count: number) => string
  /** The pieces that were put in, for the report. */
  pieces: Set<string>
  /** Adds `steps` pieces that begin at tensor `a`. @returns their last tensor. */
  grow: (body: Body, a: string, steps: number) => string
}

type Kind = 'graph' | 'branch' | 'function'

interface Constant {
  name: string
  key: string
}

interface More {
  /** How many outputs; 0 for one in a list of that length that is left out. @defaultValue 1 */
  outputs?: number
  domain?: string
  overload?: string
}

export class Body {
  readonly nodes: NodeProto[] = []
  readonly initializers: TensorProto[] = []
  /** Tensors of the shape `HUB` that may be read here. */
  hubs: string[] = []
  readonly world: World
  readonly kind: Kind
  readonly depth: number
  readonly #own = new Set<string>()
  readonly #captured = new Set<string>()
  readonly #outer: Body | undefined
  #constants: Constant[] = []
  #count = 0
  #prefix = 't'

  constructor(world: World, kind: Kind, outer?: Body) {
    this.world = world
    this.kind = kind
    this.depth = (outer?.depth ?? -1) + 1
    if (kind !== 'branch') return
    this.#outer = outer
    this.hubs = [...(outer?.hubs ?? [])]
    // A name that is used outside as well may be refused: it depends on the order in which ONNX Runtime looks at nodes.
    if (world.shadows && world.draw.chance(0.15)) this.#count = outer ? outer.#count : 0
    else this.#prefix = `b${this.depth}_`
    this.#constants = outer ? [...outer.#constants] : []
  }

  get draw(): Draw {
    return this.world.draw
  }

  /** A name for a tensor made here: one that no tensor that can be read here has, though a later one outside may. */
  fresh(): string {
    for (;;) {
      const name = this.world.label(this.#prefix, this.#count++)
      if (this.#isVisible(name)) continue
      this.#own.add(name)
      return name
    }
  }

  #isVisible(name: string): boolean {
    return (
      this.#own.has(name) || this.#captured.has(name) || (this.#outer ? this.#outer.#isVisible(name) : false)
    )
  }

  /** A name for what a body is given. It may be that of a tensor outside, which then cannot be read here. */
  received(): string {
    const names = [...this.hubs, ...this.#constants.map((constant) => constant.name)]
    const free = names.filter((name) => !this.#own.has(name))
    if (!this.world.shadows || free.length === 0 || this.draw.chance(0.4)) return this.fresh()
    const name = this.draw.pick(free)
    this.#own.add(name)
    this.hubs = this.hubs.filter((hub) => hub !== name)
    this.#constants = this.#constants.filter((constant) => constant.name !== name)
    return name
  }

  /** Names an input of the graph, function or body that pieces may read. */
  input(): string {
    const name = this.kind === 'branch' ? this.received() : this.fresh()
    this.hubs.push(name)
    return name
  }

  /** Adds a node. @returns its outputs' names. */
  add(
    op: string,
    inputs: readonly string[],
    attributes: Record<string, AttributeValue> = {},
    { outputs = 1, ...more }: More = {},
  ): string[] {
    this.#reads(inputs)
    const names = Array.from({ length: outputs }, () => this.fresh())
    // Names of nodes must differ; ONNX Runtime makes some up for those that have none.
    const name = this.draw.chance(0.8) ? { name: `${op} ${this.depth} ${names[0]}` } : { name: '' }
    this.nodes.push(node(op, inputs, names, attributes, { ...more, ...name }))
    return names
  }

  /** Adds a node of one output. */
  one(
    op: string,
    inputs: readonly string[],
    attributes: Record<string, AttributeValue> = {},
    more: More = {},
  ): string {
    return this.add(op, inputs, attributes, more)[0]!
  }

  #reads(names: Iterable<string>): void {
    for (const name of names) if (name !== '' && !this.#own.has(name)) this.#captured.add(name)
  }

  /** True in a function and in the bodies of its nodes. */
  get isInFunction(): boolean {
    return this.kind === 'function' || (this.#outer?.isInFunction ?? false)
  }

  /** A further tensor to read, or the same again. */
  other(a: string): string {
    return this.hubs.length > 0 ? this.draw.pick(this.hubs) : a
  }

  /** Makes a constant: an initializer, a Constant node or, sometimes, a second name of one of these. */
  constant(tensor: TensorProto): string {
    const { draw } = this
    const key = `${tensor.dataType} ${tensor.dims.join()}`
    const isInitializer = this.kind !== 'function' && draw.chance(0.75)
    let name: string
    if (isInitializer) {
      name = this.fresh()
      this.initializers.push(Object.assign(tensor, { name }))
    } else name = this.one('Constant', [], { value: tensor })
    if (draw.chance(0.15)) name = this.one('Identity', [name])
    this.#constants.push({ name, key })
    return name
  }

  /** Weights of a product or an offset; sometimes those that another layer has. */
  weight(shape: readonly number[], spread = 1 / Math.sqrt(shape[0] ?? 1)): string {
    const { draw } = this
    const key = `${DataType.FLOAT} ${shape.join()}`
    const alike = this.#constants.filter((constant) => constant.key === key)
    if (alike.length > 0 && draw.chance(0.25)) return draw.pick(alike).name
    const count = shape.reduce((product, dim) => product * dim, 1)
    const values = draw.normals(count).map((number) => number * spread)
    return this.constant(floats('', shape, values.length > 0 ? values : [0]))
  }

  scalar(number: number): string {
    return this.constant(floats('', [], [number]))
  }

  whole(...values: number[]): string {
    return this.constant(ints('', values))
  }

  /** An integer of rank 0. */
  index(number: number): string {
    return this.constant(ints('', [number], []))
  }

  flag(isTrue: boolean): string {
    return this.constant(tensorOf('', [], DataType.BOOL, Uint8Array.of(isTrue ? 1 : 0)))
  }

  cast(a: string, to: DataType): string {
    return this.one('Cast', [a], { to: BigInt(to) })
  }

  /** A body of a node that is added here later. */
  branch(): Body {
    return new Body(this.world, 'branch', this)
  }

  /** @returns the tensor, or a copy of it if it is from outside: a body must make what it hands out. */
  own(name: string): string {
    return this.nodes.some(({ output }) => output.includes(name)) ? name : this.one('Identity', [name])
  }

  /** Ends a body. @param inputs, outputs with types; shapes of outputs are sometimes left out. */
  close(inputs: readonly Typed[], outputs: readonly Typed[]): GraphProto {
    if (this.#outer) this.#outer.#reads(this.#captured)
    const declared = ({ name, type, shape }: Typed) =>
      this.draw.chance(0.2) ? value(name, undefined, type) : value(name, shape, type)
    return graph(
      {
        nodes: this.nodes,
        constants: this.initializers,
        inputs: inputs.map(({ name, shape, type }) => value(name, shape, type)),
        outputs: outputs.map((output) =>
          output.type === undefined ? untyped(output.name) : declared(output),
        ),
      },
      `body ${this.depth}`,
    )
  }
}

/** A tensor with its type; without one it is declared by name alone, as sequences are. */
export interface Typed {
  name: string
  shape: readonly number[]
  type: DataType | undefined
}

export const hub = (name: string): Typed => ({ name, shape: HUB, type: DataType.FLOAT })

export type Piece = (body: Body, a: string) => string

/** A piece and what it needs. */
export interface Offer {
  piece: Piece
  minOpset?: number
  /** Not where ONNX Runtime does not take it. */
  not?: Kind
  /** How often, against the others' 1. */
  weight?: number
  /** Deepest body in which it may stand. */
  maxDepth?: number
}
