/** Typed client of a resource's inference service: the Open Inference Protocol with binary tensors. */
import { z } from 'zod'
import { ScissionError } from '../platform/errors.ts'
import { JSON_LENGTH_HEADER, messageHeaders } from '../oip/binary-message.ts'
import type { Parameters } from '../oip/parameters.ts'
import { writeInferRequest } from '../oip/request-message.ts'
import { type InferResponse, parseInferResponse } from '../oip/response-message.ts'
import type { CodedTensor } from '../codec/index.ts'
import { type Credentials, shownTo } from '../platform/credentials.ts'
import { createJsonClient } from './http.ts'
import { KnownRevision } from './known-revision.ts'

/** A first request may fetch and load layers. */
const INFER_TIMEOUT_MS = 120_000

export interface InferOptions {
  /** @defaultValue 120000 */
  timeoutMs?: number
  /** A longer answer is an error: payloadTooLarge. @defaultValue 2 GiB */
  maxBytes?: number
  signal?: AbortSignal
}

/** The part of `GET /v2/models/{name}` that is needed to make inputs, and to know what comes out. */
const Metadata = z.object({
  name: z.string(),
  inputs: z.array(z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.number()) })),
  outputs: z.array(z.object({ name: z.string() })).default([]),
})

export type InferenceClient = ReturnType<typeof createInferenceClient>

/**
 * Opens a client of a resource's inference service.
 * @param resource its name, to which the credentials are shown.
 * @param known revision, to be shared with the clients of other services: what those acknowledged holds here.
 * @param credentials shown with every request.
 * @example
 * const device = createInferenceClient('device', 'http://127.0.0.1:8090')
 * const { outputs } = await device.infer('mobilenet', [{ name: 'input', datatype: 'FP32', shape: [1, 3, 224, 224], bytes }])
 */
export function createInferenceClient(
  resource: string,
  baseUrl: string,
  known = new KnownRevision(),
  credentials?: Credentials,
) {
  const http = createJsonClient(`resource ${resource}`, baseUrl, known, shownTo(resource, credentials))
  const post = async (
    url: string,
    inputs: readonly CodedTensor[],
    parameters: Parameters,
    { timeoutMs = INFER_TIMEOUT_MS, maxBytes, signal }: InferOptions = {},
  ): Promise<InferResponse> => {
    const message = writeInferRequest({ inputs, parameters: { ...parameters, binary_data_output: true } })
    const { data, headers } = await http.bytes({
      method: 'POST',
      url,
      // By default axios asks for gzip: tensors hardly shrink, and compressing them takes longer than a request.
      headers: { ...messageHeaders(message), 'Accept-Encoding': 'identity' },
      data: Buffer.concat([message.json, ...message.binary]),
      timeout: timeoutMs,
      ...(maxBytes !== undefined && { maxContentLength: maxBytes }),
      ...(signal && { signal }),
    })
    const jsonLength = Number(headers[JSON_LENGTH_HEADER] ?? data.byteLength)
    if (!(jsonLength <= data.byteLength)) {
      throw new ScissionError('internal', `${resource} answered with a wrong ${JSON_LENGTH_HEADER}`)
    }
    return parseInferResponse(data.subarray(0, jsonLength), data.subarray(jsonLength))
  }
  return {
    baseUrl,
    metadata: (model: string) => http.request(Metadata, { url: `/v2/models/${encodeURIComponent(model)}` }),
    /** Runs a model, or a deployment on its entry resource. @returns all outputs, in binary. */
    infer: (
      model: string,
      inputs: readonly CodedTensor[],
      parameters: Parameters = {},
      options: InferOptions = {},
    ) => post(`/v2/models/${encodeURIComponent(model)}/infer`, inputs, parameters, options),
    /**
     * Runs layers [from, to): takes the tensors of boundary `from`, encoded or not, returns those of boundary `to`. Of a
     * deployment: enters it at the cut `from`, on the resource whose stage begins there; `to` is the end of the model.
     */
    inferRange: (
      model: string,
      from: number,
      to: number,
      inputs: readonly CodedTensor[],
      parameters: Parameters = {},
    ) => post(`/v2/models/${encodeURIComponent(model)}/layers/${from}-${to}/infer`, inputs, parameters),
  }
}
