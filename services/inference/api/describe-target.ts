/** Describes a target: the metadata of the core protocol, and the model configuration extension. */
import { z } from 'zod'
import type { Datatype } from '../../../shared/contracts/common.ts'
import { batchSizes } from '../serving/batching/batchable.ts'
import type { Target, TargetTensor } from '../serving/models/target.ts'

const TensorMetadata = z
  .object({ name: z.string(), datatype: z.string(), shape: z.array(z.number().int().min(-1)) })
  .meta({ id: 'TensorMetadata', description: '-1 is a dimension of any size' })

export const ModelMetadata = z
  .object({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(TensorMetadata),
    outputs: z.array(TensorMetadata),
    properties: z.record(z.string(), z.string()),
  })
  .meta({ id: 'ModelMetadata' })

/** The protocol's name for ONNX files. */
const PLATFORM = 'onnx_onnxv1'

export async function metadataOf(target: Target): Promise<z.infer<typeof ModelMetadata>> {
  await target.checkBatching?.()
  const plain = ({ name, datatype, shape }: TargetTensor) => ({ name, datatype, shape })
  const { inputs, outputs } = target.tensors()
  return {
    name: target.name,
    versions: await target.versions(),
    platform: PLATFORM,
    inputs: inputs.map(plain),
    outputs: outputs.map(plain),
    properties: await target.properties(),
  }
}

const TensorConfiguration = z
  .object({
    name: z.string(),
    data_type: z.string(),
    dims: z.array(z.number().int()),
  })
  .meta({ id: 'TensorConfiguration' })

/** The fields of Triton's ModelConfig that apply here. */
export const ModelConfiguration = z
  .object({
    name: z.string(),
    platform: z.string(),
    backend: z.string(),
    version_policy: z.object({ latest: z.object({ num_versions: z.number().int() }) }),
    max_batch_size: z.number().int(),
    dynamic_batching: z
      .object({
        preferred_batch_size: z.array(z.number().int()),
        max_queue_delay_microseconds: z.number().int(),
      })
      .optional(),
    input: z.array(TensorConfiguration),
    output: z.array(TensorConfiguration),
    instance_group: z.array(z.object({ name: z.string(), kind: z.string(), count: z.number().int() })),
  })
  .meta({ id: 'ModelConfiguration' })

/**
 * Triton's model configuration. Without batching the batch is an ordinary dimension and max_batch_size is 0; with batching,
 * `dims` leave it out. @param executors number of threads that run a stage.
 */
export async function configurationOf(
  target: Target,
  executors: number,
): Promise<z.infer<typeof ModelConfiguration>> {
  await target.checkBatching?.()
  const { batching } = target
  const tensor = ({ name, datatype, shape }: TargetTensor) => ({
    name,
    data_type: configurationType(datatype),
    dims: batching ? shape.slice(1) : shape,
  })
  const { inputs, outputs } = target.tensors()
  return {
    name: target.name,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: batching?.maxBatch ?? 0,
    ...(batching && {
      dynamic_batching: {
        preferred_batch_size: batchSizes(batching.maxBatch),
        max_queue_delay_microseconds: Math.round(batching.batchDelayMs * 1000),
      },
    }),
    input: inputs.map(tensor),
    output: outputs.map(tensor),
    instance_group: [{ name: `${target.name}_0`, kind: 'KIND_CPU', count: executors }],
  }
}

const configurationType = (datatype: Datatype) => (datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`)
