/**
 * Finds cuts that change ONNX Runtime's optimisations far away from them.
 *
 * ONNX Runtime moves Transposes through the graph, depending on operators much further on
 * (onnxruntime/core/optimizer/transpose_optimization). In a graph in which it has moved one, a boundary that separates no
 * fused group may still change a distant fusion. Only in such graphs, the two sides of each clean boundary are optimised
 * separately: the boundary stays clean if both sides together have the same operators as the whole. Boundaries with several
 * tensors are rarely worth that time and count as not clean.
 */
import type { Boundary } from '../../contracts/model.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { optimise } from '../canonical/runtime-optimised.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { usesOf } from '../canonical/scope.ts'

/** Most boundaries that are checked, single-tensor ones only: each takes two sessions of some 20 ms. */
const MAX_CHECKS = 40
/** Larger weights are left out, since the comparison needs none. */
const LARGE_BYTES = 64 * 1024

const MOVES = 'ONNX Runtime moves Transposes across this model'

/** @returns the boundaries; those with distant effects are marked as not clean. */
export async function checkDistantEffects(
  canonical: CanonicalGraph,
  boundaries: readonly Boundary[],
): Promise<Boundary[]> {
  if (!canonical.layers.some(isTranspose)) return [...boundaries]
  const whole = await optimise(canonical, { largeBytes: LARGE_BYTES })
  if (!movedTranspose(canonical, whole)) return [...boundaries]
  const expected = countOperators(whole)
  const inner = boundaries.filter(({ clean, k }) => clean && k > 0 && k < canonical.layers.length)
  const verdicts = new Map(inner.map(({ k }) => [k, `${MOVES}, and this boundary was not checked`]))
  for (const boundary of inner.filter(({ single }) => single).slice(0, MAX_CHECKS)) {
    const sides = await optimiseSides(canonical, boundary)
    if (countOperators(sides) === expected) verdicts.delete(boundary.k)
    else verdicts.set(boundary.k, `${MOVES}, and not in the same way when cut here`)
  }
  return boundaries.map((boundary) => {
    const why = verdicts.get(boundary.k)
    return why === undefined ? boundary : { ...boundary, clean: false, why }
  })
}

/** Tells whether a Transpose makes a tensor that no Transpose of the model makes. */
function movedTranspose({ layers }: CanonicalGraph, optimised: readonly NodeProto[]): boolean {
  const own = new Set(layers.filter(isTranspose).flatMap((node) => node.output))
  return optimised.some(
    (node) => isTranspose(node) && !node.output.some((name) => own.has(name) || name.includes('_q_to_dq')),
  )
}

const isTranspose = ({ opType }: NodeProto) => opType === 'Transpose'

async function optimiseSides(canonical: CanonicalGraph, { k, tensors }: Boundary): Promise<NodeProto[]> {
  const { graph, layers } = canonical
  const before = layers.slice(0, k)
  const after = layers.slice(k)
  const made = new Set(before.flatMap((node) => node.output))
  const used = new Set(after.flatMap((node) => [...usesOf(node)]))
  const inputs = graph.inputs.map(({ name }) => name)
  const sides = [
    { layers: before, inputs, outputs: tensors.filter((name) => made.has(name)) },
    {
      layers: after,
      inputs: tensors.filter((name) => used.has(name)),
      outputs: graph.outputs.filter((name) => !made.has(name)),
    },
  ]
  const nodes: NodeProto[] = []
  for (const part of sides) nodes.push(...(await optimise(canonical, { largeBytes: LARGE_BYTES, part })))
  return nodes
}

function countOperators(nodes: readonly NodeProto[]): string {
  const operators = nodes.map((node) => node.opType)
  return operators.sort().join(' ')
}
