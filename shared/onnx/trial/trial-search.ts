/**
 * Finds made-up values with which a model runs. The first candidates of all inputs are tried at once. If that run fails, the
 * message names the node that failed: other candidates of the inputs that this node depends on follow, one at a time, and
 * one with which the model runs further is kept. The number of runs and the time are bounded.
 */
import type { InputHint, InputHints } from '../../contracts/model.ts'
import type { TensorSpec } from '../../contracts/common.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import type { HintCandidates } from './find-hints.ts'
import { coerceError } from '../../platform/errors.ts'
import { usesOf } from '../canonical/scope.ts'

/** Failed runs usually end early: they check their arguments first. */
const MAX_RUNS = 40
const MAX_MS = 20_000

export class NoValuesFound extends Error {
  /** Inputs that the node that failed depends on; those whose values are known to matter first. */
  readonly suspects: string[]
  readonly runs: number

  constructor(cause: Error, suspects: string[], runs: number) {
    super(cause.message, { cause })
    this.suspects = suspects
    this.runs = runs
  }
}

interface Failure {
  error: Error
  /** Index of the layer that failed; -1 if the message does not tell. */
  layer: number
}

/**
 * @param run runs the model on values that keep the hints. @param inputs those whose values are made up.
 * @returns the results of the first run that succeeds, with its hints.
 * @throws NoValuesFound with the error of the run that came furthest.
 */
export async function searchValues<R>(
  run: (hints: InputHints) => Promise<R>,
  candidates: HintCandidates,
  inputs: readonly TensorSpec[],
  canonical: Pick<CanonicalGraph, 'layers'>,
): Promise<{ results: R; hints: InputHints }> {
  const choices = new Map(
    inputs.map((spec) => [spec.name, choicesOf(spec, candidates.get(spec.name) ?? [{}], inputs)]),
  )
  const until = performance.now() + MAX_MS
  let hints = new Map<string, InputHint>(inputs.map(({ name }) => [name, choices.get(name)?.[0] ?? {}]))
  let runs = 0
  const attempt = async (tried: ReadonlyMap<string, InputHint>) => {
    runs += 1
    try {
      return { results: await run(Object.fromEntries(tried)) }
    } catch (thrown) {
      const error = coerceError(thrown)
      return { failure: { error, layer: failedLayer(error.message, canonical) } }
    }
  }
  const mayGoOn = () => runs < MAX_RUNS && performance.now() < until
  const first = await attempt(hints)
  if (!first.failure) return { results: first.results, hints: stated(hints) }
  let furthest: Failure = first.failure
  for (;;) {
    const suspects = suspectsOf(furthest.layer, canonical, inputs, candidates)
    let further: { hints: Map<string, InputHint>; failure: Failure } | undefined
    for (const [name, hint] of suspects.flatMap((input) => othersOf(input, choices))) {
      if (!mayGoOn() || further) break
      const tried = new Map(hints).set(name, hint)
      const { results, failure } = await attempt(tried)
      if (!failure) return { results: results as R, hints: stated(tried) }
      if (failure.layer > furthest.layer) further = { hints: tried, failure }
    }
    if (!further) throw new NoValuesFound(furthest.error, suspects, runs)
    hints = further.hints
    furthest = further.failure
  }
}

/** Hints that say nothing are left out. */
const stated = (hints: ReadonlyMap<string, InputHint>): InputHints =>
  Object.fromEntries([...hints].filter(([, hint]) => Object.keys(hint).length > 0))

const othersOf = (name: string, choices: ReadonlyMap<string, InputHint[]>): [string, InputHint][] =>
  (choices.get(name) ?? []).slice(1).map((hint) => [name, hint])

/** The candidates from the model, then values that are valid in many places. */
function choicesOf(
  spec: TensorSpec,
  candidates: readonly InputHint[],
  inputs: readonly TensorSpec[],
): InputHint[] {
  const all = [...candidates, ...usualValues(spec, inputs)].map(
    (hint) => [JSON.stringify(hint), hint] as const,
  )
  return [...new Map(all).values()]
}

function usualValues({ datatype, shape }: TensorSpec, inputs: readonly TensorSpec[]): InputHint[] {
  if (datatype === 'BYTES') return [{ elements: ['1'] }, { elements: [''] }]
  if (datatype === 'BOOL') return [{ value: 1 }, { value: 0 }]
  const [length = 0] = shape
  const mayBeShape = /INT/.test(datatype) && shape.length === 1 && length > 1
  const shapes = inputs.filter((input) => mayBeShape && input.shape.length === length)
  return [
    { value: 1 },
    { value: 0 },
    { value: 2 },
    ...shapes.map((input) => ({ elements: [...input.shape] })),
  ]
}

/** ONNX Runtime: "… while running Reshape node. Name:'Reshape_3' Status Message: …"; the first name is the outermost. */
function failedLayer(message: string, { layers }: Pick<CanonicalGraph, 'layers'>): number {
  const name = /while running \S+ node\. Name:'(.*?)' Status Message/s.exec(message)?.[1]
  return name === undefined ? -1 : layers.findIndex((node) => node.name === name)
}

/** The inputs that a layer depends on: whole numbers and texts first, floats only if they have candidates. */
function suspectsOf(
  layer: number,
  { layers }: Pick<CanonicalGraph, 'layers'>,
  inputs: readonly TensorSpec[],
  candidates: HintCandidates,
): string[] {
  const needed = new Set(layer < 0 ? inputs.map(({ name }) => name) : usesOf(layers[layer]!))
  for (const node of layers.slice(0, Math.max(0, layer)).toReversed())
    if (node.output.some((output) => needed.has(output))) for (const name of usesOf(node)) needed.add(name)
  const rank = ({ name, datatype }: TensorSpec) => {
    const known =
      (candidates.get(name)?.length ?? 0) > 1 || Object.keys(candidates.get(name)?.[0] ?? {}).length > 0
    return (known ? 0 : 1) + (/^(FP|BF)/.test(datatype) ? 2 : 0)
  }
  const FLOAT_WITHOUT_HINT = 3
  return inputs
    .filter((spec) => needed.has(spec.name) && rank(spec) < FLOAT_WITHOUT_HINT)
    .sort((a, b) => rank(a) - rank(b))
    .map(({ name }) => name)
}
