import { create, toBinary } from '@bufbuild/protobuf'
import { InferenceSession } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { ModelProtoSchema, ValueInfoProtoSchema } from '../../shared/onnx/proto/onnx_pb.ts'
import type { ZooGraph } from '../../shared/zoo/graph.ts'
import { listZoo, zooGraph } from '../../shared/zoo/index.ts'
import { graphMessage, modelMessage, valueMessage } from '../../shared/zoo/layout.ts'

/**
 * The model with its weights as inputs and all tensors as outputs: nothing to store, and everything is
 * checked.
 */
function withoutWeights(graph: ZooGraph): Uint8Array {
  const message = graphMessage(graph)
  message.input.push(...graph.weights.map(valueMessage))
  message.output = graph.nodes.map(({ name }) => create(ValueInfoProtoSchema, { name }))
  return toBinary(ModelProtoSchema, { ...modelMessage(), graph: message })
}

describe('the shapes of all tensors', () => {
  it.each(listZoo())('of $title are what ONNX Runtime infers', async ({ name }) => {
    const graph = zooGraph(name)
    const session = await InferenceSession.create(withoutWeights(graph), {
      graphOptimizationLevel: 'disabled',
    })
    const inferred = session.outputMetadata.map((tensor) => [tensor.name, tensor.isTensor && tensor.shape])
    await session.release()
    expect(inferred).toEqual(graph.nodes.map(({ name }) => [name, graph.shapes.get(name)]))
  })
})
