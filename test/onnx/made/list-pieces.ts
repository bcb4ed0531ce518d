/** Pieces with sequences and optionals: one, several at a time, and through bodies. */
import { create } from '@bufbuild/protobuf'
import {
  type GraphProto,
  type TypeProto,
  TypeProto_OptionalSchema,
  TypeProto_SequenceSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from '../../../shared/onnx/proto/onnx_pb.ts'
import { DataType, value } from '../support/build.ts'
import { type Body, hub, type Offer, type Piece } from './body.ts'

/** A list of what is given and what comes back of it. */
const pair: Piece = (body, a) => {
  const list = body.one('SequenceConstruct', [a, body.other(a)])
  return body.one('SequenceAt', [list, body.index(body.draw.pick([0, 1, -1]))])
}

const inserted: Piece = (body, a) => {
  const { draw } = body
  let list = body.one('SequenceEmpty', [])
  const count = 1 + draw.whole(3)
  for (let i = 0; i < count; i++)
    list = body.one('SequenceInsert', [list, i === 0 ? a : body.world.grow(body, a, 1)])
  if (count > 1 && draw.chance(0.3)) list = body.one('SequenceErase', [list, body.index(0)])
  return body.one('SequenceAt', [list, body.index(0)])
}

/** Two lists, each of which needs what came out of the other. */
const interleaved: Piece = (body, a) => {
  const first = body.one('SequenceConstruct', [a, body.other(a)])
  const second = body.one('SequenceConstruct', [
    body.one('Relu', [body.one('SequenceAt', [first, body.index(1)])]),
    a,
  ])
  const longer = body.one('SequenceInsert', [
    first,
    body.one('Tanh', [body.one('SequenceAt', [second, body.index(0)])]),
  ])
  return body.one('Add', [
    body.one('SequenceAt', [longer, body.index(2)]),
    body.one('SequenceAt', [second, body.index(1)]),
  ])
}

const splitAndJoined: Piece = (body, a) => {
  const list = body.one('SplitToSequence', [a, body.whole(1, 1)], { axis: 0 })
  return body.one('ConcatFromSequence', [list], { axis: 0 })
}

const counted: Piece = (body, a) => {
  const list = body.one('SequenceConstruct', [a, a, body.other(a)])
  const length = body.cast(body.one('SequenceLength', [list]), DataType.FLOAT)
  return body.one('Add', [
    body.one('SequenceAt', [list, body.index(0)]),
    body.one('Div', [body.scalar(1), length]),
  ])
}

/** A list that many layers lie between. */
const kept: Piece = (body, a) => {
  const list = body.one('SequenceConstruct', [a, body.other(a)])
  const later = body.world.grow(body, a, 2)
  return body.one('Add', [later, body.one('SequenceAt', [list, body.index(1)])])
}

const optional: Piece = (body, a) => {
  const boxed = body.one('Optional', [a])
  return body.one('OptionalGetElement', [boxed])
}

const optionalAsked: Piece = (body, a) => {
  const boxed = body.one('Optional', [a])
  const has = body.one('OptionalHasElement', [boxed])
  const branch = (make: (inner: Body) => string): GraphProto => {
    const inner = body.branch()
    const out = inner.own(make(inner))
    return inner.close([], [hub(out)])
  }
  return body.one('If', [has], {
    then_branch: branch((inner) => inner.one('OptionalGetElement', [boxed])),
    else_branch: branch((inner) => inner.one('Neg', [a])),
  })
}

/** Both branches hand out a list; it is declared with its type or, as some exporters do, without. */
const listFromIf: Piece = (body, a) => {
  const { draw } = body
  const typed = draw.chance(0.5)
  const condition = conditionOf(body, a)
  const branch = (op: string): GraphProto => {
    const inner = body.branch()
    const list = inner.one('SequenceConstruct', [inner.one(op, [a]), body.other(a)])
    const graph = inner.close([], [{ name: list, shape: [], type: undefined }])
    if (typed) graph.output = [sequenceValue(list)]
    return graph
  }
  const list = body.one('If', [condition], { then_branch: branch('Tanh'), else_branch: branch('Neg') })
  return body.one('SequenceAt', [list, body.index(0)])
}

/** A list that a Loop carries, with weights in its body. */
const listInLoop: Piece = (body, a) => {
  const start = body.one('SequenceEmpty', [])
  const turns = body.index(1 + body.draw.whole(3))
  const goes = body.flag(true)
  const inner = body.branch()
  const [turn, go, list] = [inner.received(), inner.received(), inner.received()]
  const made = inner.one('MatMul', [a, inner.weight([8, 8])])
  const longer = inner.one('SequenceInsert', [list, made])
  const on = inner.one('Identity', [go])
  const graph = inner.close(
    [
      { name: turn, shape: [], type: DataType.INT64 },
      { name: go, shape: [], type: DataType.BOOL },
    ],
    [
      { name: on, shape: [], type: DataType.BOOL },
      { name: longer, shape: [], type: undefined },
    ],
  )
  graph.input.push(sequenceValue(list))
  graph.output[1] = sequenceValue(longer)
  const all = body.one('Loop', [turns, goes, start], { body: graph })
  return body.one('SequenceAt', [all, body.index(0)])
}

const mapped: Piece = (body, a) => {
  const list = body.one('SequenceConstruct', [a, body.other(a)])
  const inner = body.branch()
  const item = inner.input()
  const out = inner.own(body.world.grow(inner, item, 1))
  const done = body.one('SequenceMap', [list], { body: inner.close([hub(item)], [hub(out)]) })
  return body.one('SequenceAt', [done, body.index(body.draw.whole(2))])
}

/** True or false, depending on the input or not. */
export function conditionOf(body: Body, a: string): string {
  if (body.draw.chance(0.25)) return body.flag(body.draw.chance(0.5))
  const sum = body.one('ReduceSum', [a], { keepdims: 0 })
  return body.one('Greater', [sum, body.scalar(body.draw.pick([0, -3, 3]))])
}

const tensorType = (): TypeProto =>
  create(TypeProtoSchema, {
    value: { case: 'tensorType', value: create(TypeProto_TensorSchema, { elemType: DataType.FLOAT }) },
  })

function sequenceValue(name: string) {
  const sequence = create(TypeProto_SequenceSchema, { elemType: tensorType() })
  return create(ValueInfoProtoSchema, {
    ...value(name, undefined),
    type: create(TypeProtoSchema, { value: { case: 'sequenceType', value: sequence } }),
  })
}

function optionalValue(name: string) {
  const boxed = create(TypeProto_OptionalSchema, { elemType: tensorType() })
  return create(ValueInfoProtoSchema, {
    ...value(name, undefined),
    type: create(TypeProtoSchema, { value: { case: 'optionalType', value: boxed } }),
  })
}

/** Both branches hand out an optional. */
const optionalFromIf: Piece = (body, a) => {
  const condition = conditionOf(body, a)
  const branch = (op: string): GraphProto => {
    const inner = body.branch()
    const boxed = inner.one('Optional', [inner.one(op, [a])])
    const graph = inner.close([], [{ name: boxed, shape: [], type: undefined }])
    graph.output = [optionalValue(boxed)]
    return graph
  }
  const boxed = body.one('If', [condition], {
    then_branch: branch('Tanh'),
    else_branch: branch('Neg'),
  })
  return body.one('OptionalGetElement', [boxed])
}

export const LISTS: Record<string, Offer> = {
  pair: { piece: pair },
  inserted: { piece: inserted },
  interleaved: { piece: interleaved },
  splitAndJoined: { piece: splitAndJoined },
  counted: { piece: counted },
  kept: { piece: kept, maxDepth: 1 },
  optional: { piece: optional },
  optionalAsked: { piece: optionalAsked },
  optionalFromIf: { piece: optionalFromIf },
  listFromIf: { piece: listFromIf },
  listInLoop: { piece: listInLoop },
  mapped: { piece: mapped, maxDepth: 2 },
}
