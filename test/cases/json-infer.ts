/** An inference as a client sends it that has JSON only. */
import { createJsonClient } from '../../shared/client/http.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { type InferResponse, parseInferResponse } from '../../shared/oip/response-message.ts'

const TIMEOUT_MS = 120_000

/** @param model a model or a deployment. @throws ScissionError if it is refused. */
export async function inferByJson(
  baseUrl: string,
  model: string,
  inputs: readonly Tensor[],
): Promise<InferResponse> {
  const message = writeInferRequest({ inputs }, () => false)
  const { data } = await createJsonClient('inference service', baseUrl).bytes({
    method: 'POST',
    url: `/v2/models/${encodeURIComponent(model)}/infer`,
    headers: { 'Content-Type': 'application/json', 'Accept-Encoding': 'identity' },
    data: message.json,
    timeout: TIMEOUT_MS,
  })
  return parseInferResponse(data, new Uint8Array())
}
