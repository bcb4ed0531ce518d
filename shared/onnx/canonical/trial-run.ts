/**
 * Runs the whole canonical model once, unoptimised, on the given samples or on made-up inputs. This shows that the model
 * runs, and the sizes of tensors whose shapes depend on the data.
 *
 * A failure may also be due to the inputs: integers and texts can be shapes, modes, rates, indices or categories, of which
 * only some are valid. So before the model is refused, others are tried (trial-search.ts), and the refusal says which
 * inputs matter and how to give them.
 */
import type { TensorSpec } from '../../contracts/common.ts'
import type { InputHints } from '../../contracts/model.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { ScissionError } from '../../platform/errors.ts'
import { assembleGraph } from './encode-graph.ts'
import type { CanonicalGraph } from './canonicalise.ts'
import { CODE, type TypedTensor } from '../wire/element-types.ts'
import { findHints } from './input-hints/find-hints.ts'
import { modelInputs } from '../sample-inputs/model-inputs.ts'
import { asInvalidModel, fromRuntime, openSession, tidy, toRuntime } from '../runtime/analysis-session.ts'
import { NoValuesFound, searchValues } from './trial-search.ts'
import { withWorkFile } from './work-files.ts'

export interface Trial {
  /** Observed shapes and bytes of tensors whose shape was unknown before. */
  seen: Map<string, { shape: number[]; bytes: number }>
  /** Hints of the successful run; absent if it needed none. */
  hints?: InputHints
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
  const { graph, prelude, layers, types } = canonical
  const unknown = layers.flatMap((node) => node.output).filter((name) => name && isUnknown(types.get(name)))
  const outputs = [...new Set([...graph.outputs, ...unknown])].filter(
    (name) => !graph.inputs.some((input) => input.name === name),
  )
  if (outputs.length === 0) return { seen: new Map() }
  const model = assembleGraph(graph, { nodes: [...prelude, ...layers], inputs: graph.inputs, outputs })
  return withWorkFile(graph.dir, model, async (file) => {
    const session = await openSession(file, { level: 'disabled' }).catch((error: unknown) => {
      throw asInvalidModel('refuses the model', error)
    })
    const run = async (hints: InputHints) => {
      const feeds = modelInputs({ inputs, inputHints: hints }, samples, SEED).map(
        (tensor) => [tensor.name, toRuntime(tensor)] as const,
      )
      return session.run(Object.fromEntries(feeds))
    }
    const madeUp = inputs.filter(({ name }) => !samples.some((sample) => sample.name === name))
    const { results, hints } = await searchValues(run, findHints(canonical), madeUp, canonical).catch(
      (thrown: unknown) => {
        throw thrown instanceof NoValuesFound ? refusal(thrown, inputs, samples) : thrown
      },
    )
    const seen = new Map<string, { shape: number[]; bytes: number }>()
    for (const name of unknown) {
      const result = results[name]
      if (result) seen.set(name, { shape: [...result.dims], bytes: fromRuntime(name, result).bytes.length })
    }
    await session.release()
    return { seen, ...(Object.keys(hints).length > 0 ? { hints } : {}) }
  })
}

/** ONNX Runtime also reports rank 0 if it does not know the rank; the size of strings depends on the data. */
function isUnknown(type: TypedTensor | undefined): boolean {
  if (!type) return true
  return type.shape.length === 0 || type.shape.includes(-1) || type.code === CODE.STRING
}

const HOW_TO_GIVE =
  'upload it with samples: scission models add FILE --samples INPUTS.npz, or the form field "samples" beside "model"'

function refusal(
  { message, suspects, runs }: NoValuesFound,
  inputs: readonly TensorSpec[],
  samples: readonly Tensor[],
): ScissionError {
  const shapeOf = (name: string) => {
    const { datatype, shape } = inputs.find((input) => input.name === name) ?? { datatype: '', shape: [] }
    return `"${name}" (${datatype} [${shape.join(',')}])`
  }
  const madeUp =
    suspects.length > 0
      ? ` (with ${runs === 1 ? 'made-up values' : `made-up values, ${runs} sets of them`}`
      : ''
  const given =
    samples.length > 0 ? ` (with the samples of ${samples.map(({ name }) => `"${name}"`).join(', ')})` : ''
  const advice =
    suspects.length > 0
      ? `${madeUp}); if ${suspects.map(shapeOf).join(', ')} must have particular values, ${HOW_TO_GIVE}`
      : ''
  return new ScissionError(
    'invalidModel',
    `the model loads but does not run: ${tidy(message)}${given}${advice}`,
    {
      runtime: message,
      inputs: suspects,
      runs,
    },
  )
}
