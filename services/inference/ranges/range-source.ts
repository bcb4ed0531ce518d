/**
 * The benchmark service as a source of layer ranges: three kinds of GET, streamed.
 *
 * A refusal of the service (unknown model, range out of bounds) keeps its code and text. Every other failure is
 * `peerUnavailable` and names the service: a connection refused, an answer cut short, silence. Callers retry, because they
 * know which bytes have arrived.
 */
import { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { type Credentials, shownTo } from '../../../shared/platform/credentials.ts'
import { coerceError, ERROR_STATUS, type ErrorCode, ScissionError } from '../../../shared/platform/errors.ts'
import { ErrorBody } from '../../../shared/platform/http-server/error-answers.ts'
import { HttpClient, type HttpResponse } from '../../../shared/platform/http-client.ts'
import { checkJson } from '../../../shared/platform/outside-input.ts'
import type { RangeKey } from './stored-range.ts'

/** Text of manifests and errors; a manifest takes about 90 bytes per MiB of weights. */
const TEXT_LIMIT_BYTES = 16 * 1024 * 1024
const CONNECTIONS = 8

export class RangeSource {
  readonly #base: string
  readonly #client: HttpClient

  /** @param idleTimeoutMs a transfer that brings no byte for this long is broken. */
  constructor(benchmarkUrl: string, idleTimeoutMs: number, credentials?: Credentials) {
    this.#base = benchmarkUrl.replace(/\/+$/, '')
    this.#client = new HttpClient({
      timeoutMs: idleTimeoutMs,
      connections: CONNECTIONS,
      shown: shownTo('benchmark', credentials),
    })
  }

  async manifest(key: RangeKey, signal?: AbortSignal): Promise<RangeManifest> {
    const answer = await this.#get(`${rangePath(key)}/manifest?shapesKey=${key.shapesKey}`, {}, signal)
    const { value, fault } = checkJson(RangeManifest, await this.#text(answer))
    if (fault !== undefined) throw this.#broken(`its manifest is not one: ${fault}`)
    const { model, shapesKey, from, to } = value
    if (model !== key.model || shapesKey !== key.shapesKey || from !== key.from || to !== key.to) {
      throw this.#broken(`it answered with the manifest of ${model} ${shapesKey} [${from},${to})`)
    }
    return value
  }

  /** The sub-model's bytes as they come. */
  async *subModel(key: RangeKey, signal?: AbortSignal): AsyncGenerator<Buffer> {
    yield* this.#stream(await this.#get(`${rangePath(key)}?shapesKey=${key.shapesKey}`, {}, signal))
  }

  /** Bytes [start, end) of one of the model's files, as they come. */
  async *fileBytes(
    model: string,
    file: string,
    start: number,
    end: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const path = file.split('/').map(encodeURIComponent).join('/')
    const range = `bytes=${start}-${end - 1}`
    const answer = await this.#get(
      `/v1/models/${model}/files/${path}`,
      { range },
      signal,
      Math.max(end - start, TEXT_LIMIT_BYTES),
    )
    const expected = `bytes ${start}-${end - 1}/`
    if (answer.status !== 206 || !String(answer.headers['content-range']).startsWith(expected)) {
      answer.discard()
      throw this.#broken(`it answered ${answer.status} to a request for ${range} of ${file}`)
    }
    yield* this.#stream(answer)
  }

  close(): void {
    this.#client.close()
  }

  /** Resolves with the head of a successful answer; its body is still to come. */
  async #get(
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
    maxBytes?: number,
  ): Promise<HttpResponse> {
    const answer = await this.#client
      .get(`${this.#base}${path}`, { headers, signal, ...(maxBytes !== undefined && { maxBytes }) })
      .catch((thrown: unknown): never => {
        if (signal?.aborted) throw thrown
        const error = coerceError(thrown)
        throw this.#broken(error.message, error)
      })
    if (answer.status >= 200 && answer.status < 300) return answer
    throw this.#refusal(answer.status, await this.#text(answer))
  }

  async *#stream({ body }: HttpResponse): AsyncGenerator<Buffer> {
    try {
      yield* body
    } catch (thrown) {
      const error = coerceError(thrown)
      throw error.name === 'AbortError' ? error : this.#broken(error.message, error)
    }
  }

  async #text(answer: HttpResponse): Promise<string> {
    const parts: Buffer[] = []
    let length = 0
    for await (const part of this.#stream(answer)) {
      length += part.length
      if (length > TEXT_LIMIT_BYTES) throw this.#broken('its answer is far too long')
      parts.push(part)
    }
    return Buffer.concat(parts).toString('utf8')
  }

  /** The service's own refusal keeps its code and text; its failures are ours of reaching it. */
  #refusal(status: number, text: string): ScissionError {
    const told = checkJson(ErrorBody, text).value?.error
    if (status < 500 && told && isCode(told.code)) return new ScissionError(told.code, told.message)
    return this.#broken(`it answered ${status}: ${(told?.message ?? text).slice(0, 200)}`)
  }

  #broken(what: string, cause?: Error): ScissionError {
    return new ScissionError(
      'peerUnavailable',
      `the benchmark service at ${this.#base} could not be read: ${what}`,
      { resource: 'benchmark service', url: this.#base },
      cause,
    )
  }
}

function rangePath({ model, from, to }: RangeKey): string {
  return `/v1/models/${model}/ranges/${from}-${to}`
}

const isCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_STATUS, code)
