/** An inference with binary tensors, both ways. */
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { writeInferRequest } from '../../../shared/oip/request-message.ts'
import { type InferResponse, parseInferResponse } from '../../../shared/oip/response-message.ts'
import { call } from './service.ts'

/** @throws Error with the answer unless its status is 200. */
export async function inferTensors(url: string, inputs: readonly Tensor[]): Promise<InferResponse> {
  const message = writeInferRequest({ inputs: [...inputs], parameters: { binary_data_output: true } })
  const answer = await call('POST', url, Buffer.concat([message.json, ...message.binary]), {
    'Inference-Header-Content-Length': String(message.json.length),
  })
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}: ${answer.body.toString()}`)
  const length = Number(answer.headers['inference-header-content-length'] ?? answer.body.length)
  const body = new Uint8Array(answer.body)
  return parseInferResponse(body.subarray(0, length), body.subarray(length))
}
