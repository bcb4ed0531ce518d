/** Typed client of the benchmark service. */
import { createReadStream, type ReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import FormData from 'form-data'
import { z } from 'zod'
import { Calibration, type CalibrationRequest } from '../contracts/calibration.ts'
import type { InputShapes } from '../contracts/common.ts'
import { type AnalysisRequest, Model, Structure, UploadedModel } from '../contracts/model.ts'
import { Benchmark, type BenchmarkRequest, ProfileView } from '../contracts/profile.ts'
import { readSamples } from '../onnx/sample-inputs/samples.ts'
import { ScissionError } from '../platform/errors.ts'
import { formatInputShapes } from '../contracts/format-input-shapes.ts'
import { messageHeaders, messageOf } from '../oip/binary-message.ts'
import { writeTensor } from '../oip/message-tensor.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { type Credentials, shownTo } from '../platform/credentials.ts'
import { createJsonClient, type JsonClient } from './http.ts'
import { KnownRevision } from './known-revision.ts'

/** Uploads and analyses of large models take longer than an ordinary call. */
const UPLOAD_TIMEOUT_MS = 600_000
/** A structure describes each layer. */
const MAX_STRUCTURE_BYTES = 512 * 1024 ** 2

export type { UploadedModel }

/** Stored profiles; for others, the ids of all that was made of the document. */
const StoredProfiles = z.object({
  items: z.array(z.object({ id: z.string() })).optional(),
  profiles: z.array(z.string()).optional(),
  resources: z.array(z.string()).optional(),
  links: z.array(z.string()).optional(),
})

export type BenchmarkClient = ReturnType<typeof createBenchmarkClient>

/**
 * Opens a client of the benchmark service. Every call throws ScissionError with the service's own code, or
 * peerUnavailable.
 * @param known revision, to be shared with the client of another service: what that one acknowledged holds here.
 * @param credentials shown with every request.
 * @example
 * const benchmark = createBenchmarkClient('http://127.0.0.1:8081')
 * const model = await benchmark.uploadModel('mobilenet.onnx', 'mobilenet')
 * const { id } = await benchmark.startBenchmark({ model: model.id })
 */
export function createBenchmarkClient(
  baseUrl: string,
  known = new KnownRevision(),
  credentials?: Credentials,
) {
  const http = createJsonClient('benchmark service', baseUrl, known, shownTo('benchmark', credentials))
  return {
    baseUrl,
    /**
     * Uploads an ONNX file as a stream, with external data and samples as multipart. The same bytes have the same id when
     * they are uploaded again.
     */
    async uploadModel(
      file: string,
      name: string,
      options: {
        inputShapes?: InputShapes | undefined
        externalData?: { location: string; file: string }[]
        /** Files with values for its inputs: .npz, .npy named like its input, or JSON. */
        samples?: readonly string[]
      } = {},
    ): Promise<UploadedModel> {
      const params = { name, ...shapesParam(options.inputShapes) }
      const external = options.externalData ?? []
      const samples = sampleParts(options.samples ?? [])
      const common = {
        method: 'POST',
        url: '/v1/models',
        params,
        timeout: UPLOAD_TIMEOUT_MS,
      }
      if (external.length > 0 || samples.length > 0) {
        const form = await formOf([
          { location: 'model.onnx', field: 'model', file },
          ...samples,
          ...external.map((part) => ({ ...part, field: 'data' })),
        ])
        return untilAnswered(form, http.request(UploadedModel, { ...common, data: form }))
      }
      const { size } = await stat(file)
      const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': String(size) }
      const data = createReadStream(file)
      return untilAnswered(data, http.request(UploadedModel, { ...common, data, headers }))
    },
    models: () => http.all(Model, '/v1/models'),
    model: (model: string) => http.request(UploadedModel, { url: `/v1/models/${encodeURIComponent(model)}` }),
    deleteModel: (model: string) =>
      http.send({ method: 'DELETE', url: `/v1/models/${encodeURIComponent(model)}` }),
    ...structureCalls(http),
    ...sampleCalls(http),
    startBenchmark: (request: z.input<typeof BenchmarkRequest>) =>
      http.request(Benchmark, {
        method: 'POST',
        url: '/v1/benchmarks',
        data: request,
        timeout: UPLOAD_TIMEOUT_MS,
      }),
    benchmark: (id: string) => http.request(Benchmark, { url: `/v1/benchmarks/${encodeURIComponent(id)}` }),
    cancelBenchmark: (id: string) =>
      http.send({ method: 'DELETE', url: `/v1/benchmarks/${encodeURIComponent(id)}` }),
    ...calibrationCalls(http),
    profile: (id: string) => http.request(ProfileView, { url: `/v1/profiles/${encodeURIComponent(id)}` }),
    profiles: (filter: { model?: string; resource?: string } = {}) =>
      http.all(ProfileView, '/v1/profiles', filter),
    deleteProfile: (id: string) =>
      http.send({ method: 'DELETE', url: `/v1/profiles/${encodeURIComponent(id)}` }),
    /** @param document profiles, machines and links written by hand, or data of the original Scission: see POST /v1/profiles. */
    importProfiles: (document: unknown) =>
      http.request(StoredProfiles, {
        method: 'POST',
        url: '/v1/profiles',
        data: document,
        timeout: UPLOAD_TIMEOUT_MS,
      }),
  }
}

/**
 * A service may refuse before it has read all. What is left of the stream would then keep the connection open, and the process
 * that is done with it, for a minute.
 */
const untilAnswered = <T>(body: Readable, call: Promise<T>): Promise<T> => call.finally(() => body.destroy())

const shapesParam = (shapes: InputShapes | undefined) => (shapes ? { shapes: formatInputShapes(shapes) } : {})

function structureCalls(http: JsonClient) {
  const call = (model: string, how: { params: object } | { method: 'POST'; data: AnalysisRequest }) =>
    http.request(Structure, {
      url: `/v1/models/${encodeURIComponent(model)}/layers`,
      timeout: UPLOAD_TIMEOUT_MS,
      maxContentLength: MAX_STRUCTURE_BYTES,
      ...how,
    })
  /** Who may only read gets what was analysed before. */
  const ask = async (model: string, params: object, data: AnalysisRequest): Promise<Structure> => {
    try {
      return await call(model, { params })
    } catch (thrown) {
      if (!(thrown instanceof ScissionError) || thrown.code !== 'conflict') throw thrown
      return call(model, { method: 'POST', data })
    }
  }
  return {
    /** The first call with these shapes analyses the model. */
    structure: (model: string, inputShapes?: InputShapes) =>
      ask(model, shapesParam(inputShapes), inputShapes ? { inputShapes } : {}),
    /**
     * The structure that leaves open what the file leaves open. The first call analyses it.
     * @param tried shapes to try the model with then; its own when absent.
     */
    openStructure: (model: string, tried?: InputShapes) =>
      ask(model, { open: true }, { open: true, ...(tried && { inputShapes: tried }) }),
  }
}

const sampleParts = (files: readonly string[]) =>
  files.map((file) => ({ field: 'samples', location: path.basename(file), file }))

function sampleCalls(http: JsonClient) {
  const url = (model: string) => `/v1/models/${encodeURIComponent(model)}/samples`
  return {
    /** Gives the model values for its inputs, which replace those it has. @param files .npz, .npy named like its input, or JSON. */
    giveSamples: async (model: string, files: readonly string[]): Promise<UploadedModel> => {
      const data = await formOf(sampleParts(files))
      const call = http.request(UploadedModel, {
        method: 'PUT',
        url: url(model),
        data,
        timeout: UPLOAD_TIMEOUT_MS,
      })
      return untilAnswered(data, call)
    },
    /** The values that were given for the model's inputs; empty if all are made up. For `modelInputs`. */
    samples: async (model: Pick<Model, 'id' | 'samples'>): Promise<Tensor[]> => {
      if (!model.samples) return []
      const { data, headers } = await http.bytes({
        url: `${url(model.id)}/data`,
        timeout: UPLOAD_TIMEOUT_MS,
      })
      if (headers['etag'] === `"${model.samples.sha256}"`) return readSamples(data, model.samples)
      throw new ScissionError(
        'conflict',
        `the samples of model ${model.id} have changed: read its record again`,
      )
    },
    deleteSamples: (model: string) => http.send({ method: 'DELETE', url: url(model) }),
  }
}

/**
 * A form of files, which are streamed: external data can be larger than memory.
 * @param files `location` is the file name in the form; for external data, the location in the model.
 * @throws the file system's error if there is no such file.
 */
async function formOf(
  files: readonly { field: string; location: string; file: string }[],
): Promise<FormData> {
  const sizes = await Promise.all(files.map(async ({ file }) => (await stat(file)).size))
  const form = new FormData()
  for (const [index, { field, location, file }] of files.entries()) {
    const about = { filepath: location, contentType: 'application/octet-stream', knownLength: sizes[index] }
    // Opened when its turn comes: a model may have more files than a process may open.
    form.append(field, (next: (content: ReadStream) => void) => next(createReadStream(file)), about)
  }
  return form
}

function calibrationCalls(http: JsonClient) {
  return {
    /** @param inputs samples, stacked along a leading axis of each input; none if the request asks for made-up ones. */
    startCalibration: (request: z.input<typeof CalibrationRequest>, inputs: readonly Tensor[] = []) => {
      const entries = inputs.map((input) => writeTensor(input, true)).join(',')
      const json = JSON.stringify(request).slice(0, -1)
      const message = messageOf(inputs.length > 0 ? `${json},"inputs":[${entries}]}` : `${json}}`, inputs)
      return http.request(Calibration, {
        method: 'POST',
        url: '/v1/calibrations',
        data: Buffer.concat([message.json, ...message.binary]),
        headers: messageHeaders(message),
        timeout: UPLOAD_TIMEOUT_MS,
      })
    },
    calibration: (id: string) =>
      http.request(Calibration, { url: `/v1/calibrations/${encodeURIComponent(id)}` }),
    calibrations: (filter: { model?: string } = {}) =>
      http.all(Calibration.omit({ cells: true }), '/v1/calibrations', filter),
    /** Cancels an active calibration, deletes one that has ended. */
    endCalibration: (id: string) =>
      http.send({ method: 'DELETE', url: `/v1/calibrations/${encodeURIComponent(id)}` }),
  }
}
