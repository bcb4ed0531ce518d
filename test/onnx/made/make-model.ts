/** From a seed to a model: a few kinds of pieces in any order, at any depth, with the inputs and outputs of odd files. */
import { create } from '@bufbuild/protobuf'
import { type ModelProto, ModelProtoSchema, type ValueInfoProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import type { TensorSpec } from '../../../shared/contracts/common.ts'
import { byteLength } from '../../../shared/contracts/tensor.ts'
import { elementTypeOf } from '../../../shared/onnx/wire/element-types.ts'
import { DataType, graph, setReference, value } from '../support/build.ts'
import { Body, HUB, type Offer, type World } from './body.ts'
import { CONTROL } from './control-pieces.ts'
import { Draw } from './draw.ts'
import { FUNCTIONS, opsets } from './function-pieces.ts'
import { FUSED } from './fused-pieces.ts'
import { LISTS } from './list-pieces.ts'
import { PLAIN } from './plain-pieces.ts'
import { QUANTISED } from './quantised-pieces.ts'
import { TYPED } from './typed-pieces.ts'

const OFFERS: Record<string, Record<string, Offer>> = {
  plain: PLAIN,
  fused: FUSED,
  typed: TYPED,
  quantised: QUANTISED,
  lists: LISTS,
  control: CONTROL,
  functions: FUNCTIONS,
}

export interface MadeModel {
  model: ModelProto
  /** Bytes of external data by the name of their file. */
  files: Map<string, Uint8Array>
  /** What a caller must give: for overridable initializers it may, but need not. */
  inputs: TensorSpec[]
  /** The pieces in it. */
  pieces: string[]
}

const ODD = [
  '__proto__',
  'constructor',
  'toString',
  'x:0',
  '/layers/0/MatMul_output_0',
  'größe',
  ' ',
  'a b',
  'length',
]

/** Most files name tensors simply; some as no one would. */
function labels(draw: Draw): World['label'] {
  const style = draw.whole(5)
  if (style === 0) return (prefix, count) => (count < ODD.length ? (ODD[count] ?? '') : `${prefix}${count}`)
  if (style === 1) return (prefix, count) => `/model/${prefix}.${count}/out:0`
  return (prefix, count) => `${prefix}${count}`
}

export function makeModel(seed: number): MadeModel {
  const draw = new Draw(seed)
  const kinds = Object.keys(OFFERS)
  const chosen = new Set(['plain', draw.pick(kinds), draw.pick(kinds), draw.pick(kinds)])
  const offers = [...chosen].flatMap((kind) => Object.entries(OFFERS[kind] ?? {}))
  const world: World = {
    draw,
    opset: draw.pick([17, 18, 19, 21, 21]),
    functions: [],
    shadows: draw.chance(0.3),
    label: labels(draw),
    pieces: new Set(),
    grow: (body, a, steps) => {
      let last = a
      for (let i = 0; i < steps; i++) {
        const [name, { piece }] = chosenOffer(body, offers)
        world.pieces.add(name)
        last = piece(body, last)
        body.hubs.push(last)
      }
      return last
    },
  }
  const main = new Body(world, 'graph')
  return finish(world, main)
}

function chosenOffer(body: Body, offers: [string, Offer][]): [string, Offer] {
  const fitting = offers.filter(
    ([, { minOpset = 0, not, maxDepth = 9 }]) =>
      body.world.opset >= minOpset && body.kind !== not && body.depth <= maxDepth,
  )
  return body.draw.pick(fitting.flatMap((offer) => Array.from({ length: offer[1].weight ?? 1 }, () => offer)))
}

const ODD_INPUTS = [
  DataType.INT64,
  DataType.BOOL,
  DataType.DOUBLE,
  DataType.FLOAT16,
  DataType.UINT8,
  DataType.INT32,
  DataType.STRING,
]

function finish(world: World, main: Body): MadeModel {
  const { draw } = world
  const inputs: ValueInfoProto[] = []
  const required: TensorSpec[] = []
  const declare = (name: string, type = DataType.FLOAT) => {
    inputs.push(value(name, HUB, type))
    required.push(specOf(name, type))
  }
  const count = 1 + draw.whole(3)
  for (let i = 0; i < count; i++) declare(main.input())
  const given = [...main.hubs]
  if (draw.chance(0.25)) {
    const type = draw.pick(ODD_INPUTS.filter((one) => one !== DataType.STRING))
    const name = main.fresh()
    declare(name, type)
    main.hubs.push(main.cast(name, DataType.FLOAT))
  }
  // Read by nothing.
  if (draw.chance(0.15)) declare(main.fresh(), draw.pick(ODD_INPUTS))
  const last = main.one('Mul', [world.grow(main, given[0]!, 2 + draw.whole(6)), main.weight([8])])
  const outputs = new Map([[last, value(last, HUB)]])
  const further = draw.whole(3)
  for (let i = 0; i < further; i++) {
    const name = draw.pick(main.hubs)
    // onnxruntime-node gives outputs as members of an object, which cannot have one of this name.
    if (name !== '__proto__') outputs.set(name, value(name, HUB))
  }
  const constant = draw.chance(0.1) ? main.initializers[draw.whole(main.initializers.length)] : undefined
  if (constant && SENT.has(constant.dataType) && constant.name !== '__proto__')
    outputs.set(constant.name, value(constant.name, constant.dims.map(Number), constant.dataType))
  // An initializer that a caller may replace, as old files have all of them.
  if (draw.chance(0.15) && main.initializers.length > 0) {
    const { name, dims, dataType } = draw.pick(main.initializers)
    if (name !== '__proto__') inputs.push(value(name, dims.map(Number), dataType))
  }
  const files = draw.chance(0.3) ? moveOut(main, draw) : new Map<string, Uint8Array>()
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    graph: graph({ nodes: main.nodes, inputs, outputs: [...outputs.values()], constants: main.initializers }),
    opsetImport: opsets(world),
    functions: world.functions,
  })
  return { model, files, inputs: required, pieces: [...world.pieces] }
}

function specOf(name: string, type: DataType): TensorSpec {
  const datatype = elementTypeOf(type)?.datatype
  if (datatype === undefined) throw new Error(`${type} cannot be sent`)
  return { name, datatype, shape: [...HUB], bytes: datatype === 'BYTES' ? 0 : byteLength(datatype, HUB) }
}

/** Types that a client can be sent. */
const SENT = new Set([DataType.FLOAT, DataType.INT64, DataType.BOOL, DataType.UINT8, DataType.INT8])

/** Moves the payloads of some initializers into one or two files beside the model. */
function moveOut(main: Body, draw: Draw): Map<string, Uint8Array> {
  const names = draw.pick([['weights.bin'], ['a.bin', 'b/b.data']])
  const parts = new Map(names.map((name) => [name, [] as Uint8Array[]]))
  const sizes = new Map(names.map((name) => [name, 0]))
  for (const tensor of main.initializers) {
    if (tensor.rawData.length === 0 || draw.chance(0.2)) continue
    const name = draw.pick(names)
    const at = sizes.get(name) ?? 0
    parts.get(name)?.push(tensor.rawData)
    setReference(tensor, name, at, tensor.rawData.length)
    sizes.set(name, at + tensor.rawData.length)
    tensor.rawData = new Uint8Array()
  }
  return new Map(
    [...parts].filter(([, given]) => given.length > 0).map(([name, given]) => [name, Buffer.concat(given)]),
  )
}
