/**
 * Runs the whole canonical model once with made-up inputs, unoptimised. This shows that the model runs, and the sizes of
 * tensors whose shapes depend on the data.
 *
 * A failure may also be due to the inputs. Any floating-point values are valid; integers can be modes, rates or indices, of
 * which only some are. So before the model is refused, the values are tried that the model itself compares such inputs
 * with, and the refusal lists them.
 */
import type { TensorSpec } from '../../contracts/common.ts'
import type { InputHints } from '../../contracts/model.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { coerceError, ScissionError } from '../../platform/errors.ts'
import { assembleGraph } from './encode-graph.ts'
import type { CanonicalGraph } from './canonicalise.ts'
import { CODE, type TypedTensor } from '../wire/element-types.ts'
import { findHints, type FoundHints } from './input-hints.ts'
import { makeInputs } from '../sample-inputs/sample-inputs.ts'
import { asInvalidModel, fromRuntime, openSession, tidy, toRuntime } from '../runtime/analysis-session.ts'
import { withWorkFile } from './work-files.ts'

export interface Trial {
  /** Observed shapes and bytes of tensors whose shape was unknown before. */
  seen: Map<string, { shape: number[]; bytes: number }>
  /** Hints of the successful run; absent if it needed none. */
  hints?: InputHints
  /** The inputs of that run, and the outputs that are not inputs themselves. */
  inputs: Map<string, Tensor>
  outputs: Map<string, Tensor>
}

const SEED = 1
/** Combinations of values that are tried: real models compare one input with one or two values. */
const MAX_ATTEMPTS = 16

/** @throws ScissionError invalidModel with ONNX Runtime's reason. */
export async function runTrial(
  canonical: CanonicalGraph,
  inputs: readonly TensorSpec[],
  given: InputHints = {},
): Promise<Trial> {
  const { graph, prelude, layers, types } = canonical
  const unknown = layers.flatMap((node) => node.output).filter((name) => name && isUnknown(types.get(name)))
  const outputs = [...new Set([...graph.outputs, ...unknown])].filter(
    (name) => !graph.inputs.some((input) => input.name === name),
  )
  const none = new Map<string, never>()
  if (outputs.length === 0) return { seen: none, inputs: none, outputs: none }
  const model = assembleGraph(graph, { nodes: [...prelude, ...layers], inputs: graph.inputs, outputs })
  return withWorkFile(graph.dir, model, async (file) => {
    const session = await openSession(file, { level: 'disabled' }).catch((error: unknown) => {
      throw asInvalidModel('refuses the model', error)
    })
    const run = async (hints: InputHints) => {
      const tensors = makeInputs(inputs, SEED, hints)
      const feeds = tensors.map((tensor) => [tensor.name, toRuntime(tensor)] as const)
      return { tensors, results: await session.run(Object.fromEntries(feeds)) }
    }
    const { ran, hints } = await attempt(run, findHints(canonical), given, inputs)
    const results = new Map(
      Object.entries(ran.results).map(([name, value]) => [name, fromRuntime(name, value)]),
    )
    const seen = new Map<string, { shape: number[]; bytes: number }>()
    for (const name of unknown) {
      const result = results.get(name)
      if (result) seen.set(name, { shape: result.shape, bytes: result.bytes.length })
    }
    await session.release()
    return {
      seen,
      ...(Object.keys(hints).length > 0 ? { hints } : {}),
      inputs: new Map(ran.tensors.map((tensor) => [tensor.name, tensor])),
      outputs: new Map([...results].filter(([name]) => graph.outputs.includes(name))),
    }
  })
}

/** ONNX Runtime also reports rank 0 if it does not know the rank; the size of strings depends on the data. */
function isUnknown(type: TypedTensor | undefined): boolean {
  if (!type) return true
  return type.shape.length === 0 || type.shape.includes(-1) || type.code === CODE.STRING
}

async function attempt<R>(
  run: (hints: InputHints) => Promise<R>,
  found: FoundHints,
  given: InputHints,
  inputs: readonly TensorSpec[],
): Promise<{ ran: R; hints: InputHints }> {
  let first: Error | undefined
  for (const values of combinations(found.values)) {
    const hints: InputHints = { ...found.limits, ...values, ...given }
    try {
      return { ran: await run(hints), hints }
    } catch (error) {
      first ??= coerceError(error)
    }
  }
  throw failed(first, inputs, found)
}

/** First no fixed values, then each combination of the values that were found. */
function combinations(values: ReadonlyMap<string, readonly number[]>): InputHints[] {
  let all: InputHints[] = [{}]
  for (const [name, candidates] of values)
    all = all.flatMap((hints) => [hints, ...candidates.map((value) => ({ ...hints, [name]: { value } }))])
  return all.slice(0, MAX_ATTEMPTS)
}

function failed(error: Error | undefined, inputs: readonly TensorSpec[], found: FoundHints): ScissionError {
  const reason = tidy(error?.message ?? 'unknown reason')
  const integers = inputs.filter(({ datatype }) => /INT|BOOL|BYTES/.test(datatype)).map(({ name }) => name)
  const doubt =
    integers.length === 0
      ? ''
      : ` (with made-up values; if ${integers.map((name) => `"${name}"`).join(', ')} must have particular values, give them)`
  return new ScissionError('invalidModel', `the model loads but does not run: ${reason}${doubt}`, {
    runtime: error?.message,
    tried: Object.fromEntries(found.values),
  })
}
