/**
 * Runs the whole canonical model once, unoptimised, on the given samples or on made-up inputs. This shows that the model
 * runs, and the sizes of tensors whose shapes depend on the data.
 *
 * The types that ONNX Runtime infers for its own operators beyond ONNX and for functions are not always true: a cache grows
 * where it says that it stays. So they are looked at too, and if one is wrong, all tensors are.
 *
 * A failure may also be due to the inputs: integers and texts can be shapes, modes, rates, indices or categories, of which
 * only some are valid. So before the model is refused, others are tried (trial-search.ts), and the refusal says which
 * inputs matter and how to give them.
 */
import type { TensorSpec } from '../../contracts/common.ts'
import type { InputHints } from '../../contracts/model.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { assembleGraph } from '../canonical/encode-graph.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { CODE, type TypedTensor } from '../wire/element-types.ts'
import { findHints } from './find-hints.ts'
import { modelInputs } from '../sample-inputs/model-inputs.ts'
import { asInvalidModel, fromRuntime, openSession, toRuntime } from '../runtime/analysis-session.ts'
import { inDefaultDomain } from '../canonical/scope.ts'
import { trialRefusal } from './trial-refusal.ts'
import { NoValuesFound, searchValues } from './trial-search.ts'
import { withWorkFile } from '../canonical/work-files.ts'

export interface Trial {
  /** Observed shapes and bytes of tensors whose shape was unknown before, or known wrongly. */
  seen: Map<string, { shape: number[]; bytes: number }>
  /** Hints of the successful run; absent if it needed none. */
  hints?: InputHints
  /** The inputs of that run, and the outputs that are not inputs themselves. */
  inputs: Map<string, Tensor>
  outputs: Map<string, Tensor>
}

const SEED = 1

/**
 * @param samples the model's own inputs; those that are missing are made up.
 * @throws ScissionError invalidModel with ONNX Runtime's reason.
 */
export async function runTrial(
  canonical: CanonicalGraph,
  inputs: readonly TensorSpec[],
  samples: readonly Tensor[] = [],
): Promise<Trial> {
  const { graph, layers, types } = canonical
  const made = layers.flatMap((node) => node.output.filter(Boolean))
  const unknown = made.filter((name) => isUnknown(types.get(name)))
  const doubtful = layers.filter((node) => !inDefaultDomain(node)).flatMap((node) => node.output)
  const madeUp = inputs.filter(({ name }) => !samples.some((sample) => sample.name === name))
  const valuesFor = (hints: InputHints) => modelInputs({ inputs, inputHints: hints }, samples, SEED)
  const observe = (names: readonly string[], search: Search) =>
    withSession(canonical, names, (run) => search((hints) => run(valuesFor(hints))))
  const first = await observe([...graph.outputs, ...unknown, ...doubtful], (run) =>
    searchValues(run, findHints(canonical), madeUp, canonical).catch((thrown: unknown) => {
      throw thrown instanceof NoValuesFound ? trialRefusal(thrown, inputs, samples) : thrown
    }),
  )
  if (!first) return { seen: new Map(), inputs: new Map(), outputs: new Map() }
  const { hints } = first
  const isWrong = ([name, { shape }]: [string, Tensor]) => contradicts(types.get(name), shape)
  const all = [...first.results].some(isWrong)
    ? await observe(made, async (run) => ({ results: await run(hints), hints }))
    : first
  const seen = [...(all ?? first).results].filter((one) => isUnknown(types.get(one[0])) || isWrong(one))
  return {
    seen: new Map(seen.map(([name, { shape, bytes }]) => [name, { shape, bytes: bytes.length }])),
    ...(Object.keys(hints).length > 0 ? { hints } : {}),
    inputs: new Map(valuesFor(hints).map((tensor) => [tensor.name, tensor])),
    outputs: new Map([...first.results].filter(([name]) => graph.outputs.includes(name))),
  }
}

type Results = Map<string, Tensor>
type Search = (
  run: (hints: InputHints) => Promise<Results>,
) => Promise<{ results: Results; hints: InputHints }>

/** Opens the model with these tensors as outputs. @returns undefined if none of them is made by a layer. */
async function withSession<T>(
  { graph, prelude, layers }: CanonicalGraph,
  names: readonly string[],
  use: (run: (inputs: readonly Tensor[]) => Promise<Results>) => Promise<T>,
): Promise<T | undefined> {
  const given = new Set(graph.inputs.map(({ name }) => name))
  const outputs = [...new Set(names)].filter((name) => name && !given.has(name))
  if (outputs.length === 0) return undefined
  const model = assembleGraph(graph, { nodes: [...prelude, ...layers], inputs: graph.inputs, outputs })
  return withWorkFile(graph.dir, model, async (file) => {
    const session = await openSession(file, { level: 'disabled' }).catch((error: unknown) => {
      throw asInvalidModel('refuses the model', error)
    })
    try {
      return await use(async (inputs) => {
        const results = await session.run(Object.fromEntries(inputs.map((one) => [one.name, toRuntime(one)])))
        return new Map(Object.entries(results).map(([name, result]) => [name, fromRuntime(name, result)]))
      })
    } finally {
      await session.release()
    }
  })
}

/** ONNX Runtime also reports rank 0 if it does not know the rank; the size of strings depends on the data. */
function isUnknown(type: TypedTensor | undefined): boolean {
  if (!type) return true
  return type.shape.length === 0 || type.shape.includes(-1) || type.code === CODE.STRING
}

/** True if a tensor of this type cannot have this shape. */
function contradicts(type: TypedTensor | undefined, shape: readonly number[]): boolean {
  if (!type || type.shape.length === 0) return false
  return (
    type.shape.length !== shape.length || type.shape.some((size, axis) => size >= 0 && size !== shape[axis])
  )
}
