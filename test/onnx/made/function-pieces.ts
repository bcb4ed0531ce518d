/** Functions of the model's own: in several domains under the same names, some of them those of known operators. */
import { create } from '@bufbuild/protobuf'
import {
  type FunctionProto,
  FunctionProtoSchema,
  OperatorSetIdProtoSchema,
} from '../../../shared/onnx/proto/onnx_pb.ts'
import { type AttributeValue, parameter, real } from '../support/build.ts'
import { Body, type Offer, type Piece, type World } from './body.ts'

const FUNCTION_DOMAINS = ['local', 'odd.things', 'ai.onnx.contrib']
const NAMES = [
  'Block',
  'Relu',
  'SequenceInsert',
  'SequenceAt',
  'If',
  'Loop',
  'QuantizeLinear',
  'Dropout',
  'BatchNormalization',
  'Identity',
  'Gemm',
  'Transpose',
  'Optional',
  'Shape',
  'Cast',
]

/** What a call must know: the function, its outputs, and whether it has the attribute `slope`. */
interface Callable {
  proto: FunctionProto
  overload: string
  gives: 'one' | 'two' | 'list'
  hasSlope: boolean
}

const known = new WeakMap<World, Callable[]>()

const callablesOf = (world: World): Callable[] => {
  const list = known.get(world) ?? []
  known.set(world, list)
  return list
}

/** Field 13 of a function, which the schema here does not name. */
const OVERLOAD_FIELD = 13

function setOverload(proto: FunctionProto, overload: string): void {
  const text = Buffer.from(overload)
  proto.$unknown = [{ no: OVERLOAD_FIELD, wireType: 2, data: Uint8Array.of(text.length, ...text) }]
}

function makeFunction({ world, depth, isInFunction }: Body): Callable {
  const { draw } = world
  const body = new Body(world, 'function')
  Object.assign(body, { depth: depth + 1 })
  const inputs = [body.input(), body.input()]
  const hasSlope = draw.chance(0.3)
  let out = world.grow(body, inputs[0]!, 1 + draw.whole(3))
  if (hasSlope) out = body.one('LeakyRelu', [out], { alpha: parameter('slope') })
  const gives = draw.pick<Callable['gives']>(['one', 'one', 'one', 'two', 'list'])
  const last =
    gives === 'list' ? body.one('SequenceConstruct', [out, inputs[1]!]) : body.one('Add', [out, inputs[1]!])
  const outputs = gives === 'two' ? [last, body.one('Neg', [out])] : [last]
  const callables = callablesOf(world)
  const taken = new Set(callables.map(({ proto, overload }) => `${proto.domain} ${proto.name} ${overload}`))
  // ONNX Runtime finds no overload that a function calls.
  const overloads = draw.chance(0.3) && !isInFunction ? ['a', 'b', 'c'] : ['']
  const free = FUNCTION_DOMAINS.flatMap((domain) =>
    // Few names, so that they meet in different domains.
    NAMES.flatMap((name) => overloads.map((overload) => ({ domain, name, overload }))),
  ).filter(({ domain, name, overload }) => !taken.has(`${domain} ${name} ${overload}`))
  const alike = free.filter(({ name }) => callables.some(({ proto }) => proto.name === name))
  const { domain, name, overload } = alike.length > 0 && draw.chance(0.5) ? draw.pick(alike) : draw.pick(free)
  const proto = create(FunctionProtoSchema, {
    name,
    domain,
    input: inputs,
    output: outputs,
    attribute: hasSlope ? ['slope'] : [],
    node: body.nodes,
    opsetImport: opsets(world),
  })
  if (overload !== '') setOverload(proto, overload)
  const callable = { proto, overload, gives, hasSlope }
  callables.push(callable)
  world.functions.push(proto)
  return callable
}

/** Every domain that a made model may use. */
export function opsets(world: Pick<World, 'opset'>) {
  const versions: [string, number][] = [
    ['', world.opset],
    ['com.microsoft', 1],
    ...FUNCTION_DOMAINS.map((domain): [string, number] => [domain, 1]),
  ]
  return versions.map(([domain, version]) =>
    create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) }),
  )
}

const call: Piece = (body, a) => {
  const { world, draw } = body
  const before = callablesOf(world).filter(({ overload }) => overload === '' || !body.isInFunction)
  // A function must not call itself, so none that is still being made is known here.
  const callable = before.length > 0 && draw.chance(0.4) ? draw.pick(before) : makeFunction(body)
  const { proto, overload, gives, hasSlope } = callable
  const outputs = gives === 'two' ? 2 : 1
  const attributes: Record<string, AttributeValue> = hasSlope ? { slope: real(0.2) } : {}
  const [first = a, second] = body.add(proto.name, [a, body.other(a)], attributes, {
    domain: proto.domain,
    overload,
    outputs,
  })
  if (gives === 'list') return body.one('SequenceAt', [first, body.index(draw.whole(2))])
  // Sometimes nothing reads the second.
  return second === undefined || draw.chance(0.5) ? first : body.one('Add', [first, second])
}

export const FUNCTIONS: Record<string, Offer> = { call: { piece: call, weight: 6, maxDepth: 2 } }
