/**
 * Infers types and shapes of all tensors with ONNX Runtime, without a run.
 *
 * An unoptimised session is created of the graph with its large constants turned into graph inputs, so that no weight is
 * read, and with every tensor as an output; the session's metadata then holds all types and shapes.
 */
import { ScissionError } from '../../platform/errors.ts'
import { assembleGraph } from './encode-graph.ts'
import { CODE, elementTypeOfRuntime, type TypedTensor } from '../wire/element-types.ts'
import { isExternal } from '../wire/external-data.ts'
import type { Graph } from './working-graph.ts'
import type { TensorProto } from '../proto/onnx_pb.ts'
import { asInvalidModel, openSession } from '../runtime/analysis-session.ts'
import { tensorShape } from '../wire/tensor-data.ts'
import { withWorkFile } from './work-files.ts'

/** Types by name: of graph inputs, constants and node outputs. */
export type Types = Map<string, TypedTensor>

/** @throws ScissionError invalidModel with ONNX Runtime's reason if it refuses the graph. */
export async function inferTypes(graph: Graph): Promise<Types> {
  const types: Types = new Map(graph.inputs.map((input) => [input.name, input]))
  for (const [name, tensor] of graph.constants) types.set(name, typeOf(tensor))
  const made = graph.nodes.flatMap((node) => node.output.filter(Boolean))
  if (made.length === 0) return types
  for (const output of await outputTypes(graph, made)) types.set(output.name, output)
  return types
}

function typeOf(tensor: TensorProto): TypedTensor {
  return { name: tensor.name, code: tensor.dataType, shape: tensorShape(tensor) }
}

async function outputTypes(graph: Graph, made: readonly string[]): Promise<TypedTensor[]> {
  const large = new Map([...graph.constants].filter(([, tensor]) => isExternal(tensor)))
  const build = (asInputs: ReadonlyMap<string, TensorProto>) =>
    assembleGraph(graph, {
      nodes: graph.nodes,
      inputs: [...graph.inputs, ...[...asInputs.values()].map(typeOf)],
      outputs: made,
      keeps: (name) => !asInputs.has(name),
    })
  try {
    return await withWorkFile(graph.dir, build(large), metadata)
  } catch (error) {
    if (large.size === 0) throw asInvalidModel('refuses the model', error)
  }
  // Some operators require constant weights. A second refusal, with them, is a fault of the model.
  try {
    return await withWorkFile(graph.dir, build(new Map()), metadata)
  } catch (error) {
    throw asInvalidModel('refuses the model', error)
  }
}

async function metadata(model: string): Promise<TypedTensor[]> {
  const session = await openSession(model, { level: 'disabled' })
  try {
    return session.outputMetadata.map((output) => {
      if (!output.isTensor) {
        throw new ScissionError(
          'invalidModel',
          `"${output.name}" is a sequence, map or optional: such values are not supported`,
          { tensor: output.name },
        )
      }
      return {
        name: output.name,
        code: elementTypeOfRuntime(output.type)?.code ?? CODE.UNDEFINED,
        shape: output.shape.map((dim) => (typeof dim === 'number' ? dim : -1)),
      }
    })
  } finally {
    await session.release()
  }
}
