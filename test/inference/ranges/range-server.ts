/** Stands in for the benchmark service: serves layer ranges of one model from memory, with faults on request. */
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { concatenate, encodeField, encodeNumber, encodeText } from '../../../shared/onnx/wire/protobuf.ts'
import type { RangeKey } from '../../../services/inference/ranges/stored-range.ts'

const SHAPES_KEY = 'abcdef012345' as ShapesKey
const CHUNK_BYTES = 4096

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex')

/** A model that holds nothing but the name of its producer. */
export const subModel = (name: string): Buffer => Buffer.from(encodeText(2, name))

/** A model of one function that holds a tensor, whose data is `bytes` of the weight file. */
export function subModelReading(name: string, [start, end]: readonly [number, number]): Buffer {
  const entry = (key: string, text: string) => concatenate([encodeText(1, key), encodeText(2, text)])
  const reference = { location: './model.onnx', offset: String(start), length: String(end - start) }
  const tensor = concatenate([
    encodeText(8, name),
    ...Object.entries(reference).flatMap(([key, text]) => encodeField(13, entry(key, text))),
    encodeNumber(14, 1),
  ])
  // ModelProto.functions, FunctionProto.node, NodeProto.attribute, AttributeProto.t
  return Buffer.from(
    [25, 7, 5, 5].reduceRight((inner, field) => concatenate(encodeField(field, inner)), tensor),
  )
}

export interface ServedRange {
  from: number
  to: number
  onnx: Buffer | null
  /** Chunks of the weight file that the range needs. */
  chunks: number[]
}

/** The fault of an answer; `undefined` for none. Called once per request. */
export type Fault =
  | { kind: 'status'; status: number; body: string }
  | { kind: 'cut'; afterBytes: number }
  | { kind: 'stall'; afterBytes: number }
  | { kind: 'corrupt'; byte: number }
  | { kind: 'silent' }

export interface SeenRequest {
  path: string
  range: string | undefined
}

export class RangeServer {
  readonly weights: Buffer
  readonly model: ModelId
  readonly seen: SeenRequest[] = []
  readonly ranges: ServedRange[]
  fault: (request: SeenRequest) => Fault | undefined = () => undefined
  /** Changes a manifest before it is served. */
  tamper: (manifest: RangeManifest) => RangeManifest = (manifest) => manifest
  url = ''
  #server: http.Server

  constructor(weightBytes: number, ranges: ServedRange[]) {
    this.weights = randomBytes(weightBytes)
    this.model = sha256(this.weights) as ModelId
    this.ranges = ranges
    this.#server = http.createServer((req, res) => this.#answer(req, res))
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  key(index: number): RangeKey {
    const { from, to } = this.ranges[index]!
    return { model: this.model, shapesKey: SHAPES_KEY, from, to }
  }

  chunk(index: number): Buffer {
    return this.weights.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)
  }

  manifest({ from, to, onnx, chunks }: ServedRange): RangeManifest {
    return {
      model: this.model,
      shapesKey: SHAPES_KEY,
      from,
      to,
      inputs: [],
      outputs: [],
      passThrough: [],
      onnx: onnx && { bytes: onnx.length, sha256: sha256(onnx) },
      weights:
        chunks.length === 0
          ? []
          : [
              {
                path: 'model.onnx',
                bytes: this.weights.length,
                chunkBytes: CHUNK_BYTES,
                chunks: chunks.map((index) => ({ index, sha256: sha256(this.chunk(index)) })),
              },
            ],
    }
  }

  #answer(req: http.IncomingMessage, res: http.ServerResponse): void {
    const url = new URL(req.url ?? '/', 'http://test')
    const request = { path: url.pathname, range: req.headers.range }
    this.seen.push(request)
    const fault = this.fault(request)
    if (fault?.kind === 'silent') return
    if (fault?.kind === 'status') {
      res.writeHead(fault.status).end(fault.body)
      return
    }
    const { status, headers, body } = this.#body(request)
    if (fault?.kind === 'corrupt') body[fault.byte] = (body[fault.byte] ?? 0) ^ 1
    res.writeHead(status, { ...headers, 'content-length': body.length })
    if (fault?.kind === 'cut') res.write(body.subarray(0, fault.afterBytes), () => res.destroy())
    else if (fault?.kind === 'stall') res.write(body.subarray(0, fault.afterBytes))
    else res.end(body)
  }

  #body({ path, range }: SeenRequest): { status: number; headers: Record<string, string>; body: Buffer } {
    const [, from, to, rest] = /\/ranges\/(\d+)-(\d+)(\/manifest)?$/.exec(path) ?? []
    const served = this.ranges.find((entry) => `${entry.from}-${entry.to}` === `${from}-${to}`)
    if (served !== undefined) {
      const manifest = () => Buffer.from(JSON.stringify(this.tamper(this.manifest(served))))
      return { status: 200, headers: {}, body: rest ? manifest() : Buffer.from(served.onnx ?? '') }
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
    if (path.endsWith('/files/model.onnx') && first !== undefined && last !== undefined) {
      const body = Buffer.from(this.weights.subarray(Number(first), Number(last) + 1))
      const headers = { 'content-range': `bytes ${first}-${last}/${this.weights.length}` }
      return { status: 206, headers, body }
    }
    const error = { error: { code: 'notFound', message: `nothing at ${path}` } }
    return { status: 404, headers: {}, body: Buffer.from(JSON.stringify(error)) }
  }
}
