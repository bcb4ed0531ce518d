/**
 * The protocol's schemas, for values that neither the protocol nor the model determines. They are strict: a member that
 * the protocol does not know is a fault.
 */
import { expect } from 'vitest'
import { z } from 'zod'

/** A placeholder in an expected value that matches anything of this schema. */
export const matching = (schema: z.ZodType): unknown => expect.schemaMatching(schema)

const text = z.string().regex(/\S/)
const count = z.int().nonnegative()

export const TEXT = matching(text)
export const ERROR = matching(z.strictObject({ error: text }))

/** Flat parameters, as everywhere in the protocol. */
export const PARAMETERS = matching(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])))

interface NamedTensor {
  name: string
  datatype: string
  shape: number[]
}

export const metadata = (name: string, input: NamedTensor, output: NamedTensor) => ({
  name,
  versions: ['1'],
  platform: 'onnx_onnxv1',
  inputs: [input],
  outputs: [output],
  properties: matching(z.record(z.string(), z.string())),
})

interface ConfiguredTensor {
  name: string
  data_type: string
  dims: number[]
}

const VersionPolicy = z.union([
  z.strictObject({ latest: z.strictObject({ num_versions: z.int().positive() }) }),
  z.strictObject({ all: z.strictObject({}) }),
  z.strictObject({ specific: z.strictObject({ versions: z.array(z.int()) }) }),
])
const InstanceGroup = z.strictObject({
  name: text,
  kind: z.enum(['KIND_AUTO', 'KIND_GPU', 'KIND_CPU', 'KIND_MODEL']),
  count: z.int().positive(),
})

/** The configuration of an ONNX model without batching. */
export const configuration = (name: string, input: ConfiguredTensor, output: ConfiguredTensor) => ({
  name,
  platform: 'onnxruntime_onnx',
  backend: 'onnxruntime',
  version_policy: matching(VersionPolicy),
  max_batch_size: 0,
  input: [input],
  output: [output],
  instance_group: matching(z.array(InstanceGroup).nonempty()),
})

export const indexEntry = (name: string, state: string, reason: unknown) => ({
  name,
  version: '1',
  state,
  reason,
})

/** A recent time in milliseconds; a value in another unit would be out of range. */
const now = z.int().refine((ms) => Math.abs(Date.now() - ms) < 3_600_000)
const memory = z.strictObject({ type: z.enum(['CPU', 'CPU_PINNED', 'GPU']), id: count, byte_size: count })

const duration = (times: number) => ({ count: times, ns: times === 0 ? 0 : matching(count) })
const computing = (times: number) => ({
  compute_input: duration(times),
  compute_infer: duration(times),
  compute_output: duration(times),
})

/** Statistics of a model version without batching that answered and refused these numbers of requests. */
export const statistics = (name: string, version: string, answered: number, refusals = 0) => ({
  name,
  version,
  last_inference: answered === 0 ? matching(count) : matching(now),
  inference_count: answered,
  execution_count: answered,
  inference_stats: {
    success: duration(answered),
    fail: duration(refusals),
    queue: duration(answered),
    ...computing(answered),
    cache_hit: duration(0),
    cache_miss: duration(0),
  },
  batch_stats: answered === 0 ? [] : [{ batch_size: 1, ...computing(answered) }],
  memory_usage: matching(z.array(memory)),
})
