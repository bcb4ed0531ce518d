/**
 * The messages of the Open Inference Protocol as schemas, for the OpenAPI description. Requests are parsed by
 * request-message.ts, which is faster, and whose errors are those that the protocol's clients know.
 */
import { z } from 'zod'
import { Datatype } from '../contracts/common.ts'
import type { Content } from '../platform/http-server/route.ts'

const Parameters = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
/** In requests null means absent, and a parameter that is unknown may have any form. */
const Given = z.record(z.string(), z.unknown()).nullish()
export const RequestParameters = z.record(z.string(), z.unknown()).meta({
  id: 'RequestParameters',
  description: 'Keys that begin with `triton_` are reserved',
})

const tensor = {
  name: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  datatype: Datatype,
}
const Data = z
  .array(z.unknown())
  .optional()
  .describe(
    'elements in row-major order, flat or nested; NaN and infinity are the bare words NaN, Infinity and -Infinity',
  )

export const RequestTensor = z
  .object({
    ...tensor,
    parameters: Given.describe(
      '`binary_data_size`: the bytes of its data behind the JSON; of an encoded tensor, `scission_codec` and what belongs to it',
    ),
    data: Data.nullable(),
  })
  .meta({ id: 'RequestTensor' })

const RequestedOutput = z
  .object({
    name: z.string(),
    parameters: Given.describe(
      '`binary_data`: whether its data follows the JSON as bytes; `scission_codec`: how it is to be encoded',
    ),
  })
  .meta({ id: 'RequestedOutput' })

const InferenceRequest = z
  .object({
    id: z.string().nullish(),
    parameters: RequestParameters.nullish(),
    inputs: z.array(RequestTensor),
    outputs: z.array(RequestedOutput).nullish().describe('default: all'),
  })
  .meta({
    id: 'InferenceRequest',
    examples: [
      { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [0.5, -1] }], outputs: [{ name: 'y' }] },
    ],
  })

const ResponseTensor = z
  .object({ ...tensor, parameters: Parameters.optional(), data: Data })
  .meta({ id: 'ResponseTensor' })

const InferenceResponse = z
  .object({
    model_name: z.string(),
    model_version: z.string().optional(),
    id: z.string().optional(),
    parameters: Parameters.optional().describe(
      'times and bytes of every hop; without `scission_timing: false`',
    ),
    outputs: z.array(ResponseTensor),
  })
  .meta({
    id: 'InferenceResponse',
    examples: [
      {
        model_name: 'mnist',
        model_version: '1',
        outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 2], data: [0.25, 0.75] }],
      },
    ],
  })

const BINARY = { 'application/octet-stream': {} }
export const INFERENCE_REQUEST: Content = { 'application/json': { schema: InferenceRequest }, ...BINARY }
export const INFERENCE_RESPONSE: Content = { 'application/json': { schema: InferenceResponse }, ...BINARY }

export const JsonLengthHeader = z.object({
  'Inference-Header-Content-Length': z.number().int().nonnegative().optional().meta({
    // No example: a page of documentation would send it with every body, of which it is wrong.
    description: 'bytes of JSON before the tensors’ bytes; 0: the body is the data of the only input',
  }),
})

/** Headers of a request with tensors. */
export const MESSAGE_HEADERS = JsonLengthHeader.extend({
  'Content-Encoding': z
    .enum(['identity', 'gzip', 'deflate'])
    .optional()
    .describe('of the whole body; another one is answered with 501'),
  'Accept-Encoding': z
    .string()
    .optional()
    .meta({ description: 'gzip or deflate', examples: ['gzip'] }),
})
