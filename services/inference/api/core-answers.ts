/** What the routes of the protocol's core take and answer, for the OpenAPI description. */
import { z } from 'zod'
import { INFERENCE_REQUEST, INFERENCE_RESPONSE, MESSAGE_HEADERS } from '../../../shared/oip/schemas.ts'
import { RUNNING_FAILURES } from './serving-failures.ts'

/** What the routes of inference have in common. */
export const INFERENCE = {
  headers: MESSAGE_HEADERS,
  rawBody: {
    description:
      'An inference request: JSON, with or without binary tensors behind it, ' +
      'or (Inference-Header-Content-Length: 0) one raw tensor. The header says which; the media type is not read. ' +
      'Tensors may be encoded',
    content: INFERENCE_REQUEST,
  },
  answers: {
    200: {
      description: 'An inference response, JSON or JSON with binary tensors',
      content: INFERENCE_RESPONSE,
      headers: {
        'Inference-Header-Content-Length': 'Bytes of JSON before the tensors’ bytes; absent if all is JSON',
        'Content-Encoding': 'As accepted by the request',
      },
    },
  },
  fails: RUNNING_FAILURES,
}
const Readiness = z.object({
  name: z.string().optional(),
  ready: z.boolean().optional(),
  live: z.boolean().optional(),
  error: z.string().optional().describe('why not'),
})
export const ServerReadiness = Readiness.omit({ name: true }).meta({ id: 'ServerReadiness' })
export const ModelReadiness = Readiness.omit({ live: true }).meta({ id: 'ModelReadiness' })

export const ServerMetadata = z
  .object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .meta({
    id: 'ServerMetadata',
    examples: [{ name: 'scission', version: '1.0.0', extensions: ['binary_tensor_data'] }],
  })
