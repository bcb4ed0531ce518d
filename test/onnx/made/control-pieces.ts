/** Pieces with bodies, in which any piece may stand, to some depth. */
import type { GraphProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { DataType } from '../support/build.ts'
import { type Body, hub, type Offer, type Piece } from './body.ts'
import { conditionOf } from './list-pieces.ts'

/** Steps in a body: fewer, the deeper it is. */
const steps = (body: Body): number => 1 + body.draw.whole(Math.max(1, 3 - body.depth))

const branches: Piece = (body, a) => {
  const condition = conditionOf(body, a)
  const branch = (): GraphProto => {
    const inner = body.branch()
    const start = body.draw.chance(0.8) ? a : inner.other(a)
    const out = inner.own(body.world.grow(inner, start, steps(body)))
    return inner.close([], [hub(out)])
  }
  const then = branch()
  const otherwise = branch()
  return body.one('If', [condition], { then_branch: then, else_branch: otherwise })
}

/** A branch that does nothing but hand out a weight of its own. */
const weightsFromBranch: Piece = (body, a) => {
  const condition = conditionOf(body, a)
  const branch = (): GraphProto => {
    const inner = body.branch()
    const out = inner.own(inner.weight([8, 8]))
    return inner.close([], [{ name: out, shape: [8, 8], type: DataType.FLOAT }])
  }
  const then = branch()
  const weights = body.one('If', [condition], { then_branch: then, else_branch: branch() })
  return body.one('MatMul', [a, weights])
}

/** Carries one tensor, zero times or more; sometimes it also collects one of each turn. */
const loop: Piece = (body, a) => {
  const { draw } = body
  const count = draw.whole(4)
  const turns = body.index(count)
  const condition = draw.chance(0.3) ? '' : body.flag(true)
  const inner = body.branch()
  const [turn, go, state] = [inner.received(), inner.received(), inner.input()]
  const out = inner.own(inner.one('Tanh', [body.world.grow(inner, state, steps(body))]))
  const on = inner.one('Identity', [go])
  const collects = draw.chance(0.4)
  const collected = collects ? [hub(inner.one('Neg', [out]))] : []
  const graph = inner.close(
    [
      { name: turn, shape: [], type: DataType.INT64 },
      { name: go, shape: [], type: DataType.BOOL },
      hub(state),
    ],
    [{ name: on, shape: [], type: DataType.BOOL }, hub(out), ...collected],
  )
  const [last = a, all] = body.add(
    'Loop',
    [turns, condition, a],
    { body: graph },
    { outputs: 1 + collected.length },
  )
  if (all === undefined || count === 0) return last
  return body.one('Add', [last, body.one('ReduceSum', [all, body.whole(0)], { keepdims: 0 })])
}

/** Goes over the rows with a state; reads a tensor from outside. */
const scan: Piece = (body, a) => {
  const row = { shape: [8], type: DataType.FLOAT }
  const start = body.weight([8])
  const inner = body.branch()
  const [state, item] = [inner.received(), inner.received()]
  const product = inner.one('MatMul', [item, inner.weight([8, 8])])
  const outside = inner.one('ReduceSum', [body.other(a)], { keepdims: 0 })
  const next = inner.one('Tanh', [inner.one('Add', [inner.one('Add', [product, state]), outside])])
  const out = inner.one('Neg', [next])
  const graph = inner.close(
    [
      { name: state, ...row },
      { name: item, ...row },
    ],
    [
      { name: next, ...row },
      { name: out, ...row },
    ],
  )
  const [last = a, rows = a] = body.add(
    'Scan',
    [start, a],
    { body: graph, num_scan_inputs: 1 },
    { outputs: 2 },
  )
  return body.draw.chance(0.5) ? rows : body.one('Add', [rows, last])
}

export const CONTROL: Record<string, Offer> = {
  branches: { piece: branches, weight: 4, maxDepth: 3 },
  weightsFromBranch: { piece: weightsFromBranch, weight: 2 },
  loop: { piece: loop, weight: 3, maxDepth: 3 },
  scan: { piece: scan, weight: 2 },
}
