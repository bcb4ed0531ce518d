/**
 * Writes a zoo graph with weights from a seed as one self-contained .onnx file.
 *
 * Weights are generated in chunks while they are written, so memory does not grow with the model. The file gets its name
 * only after it is complete. ONNX stores little-endian numbers, as do all machines that ONNX Runtime supports.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { coerceError, ScissionError } from '../platform/errors.ts'
import { elements, type WeightSpec, type ZooGraph } from './graph.ts'
import { layoutModel } from './layout.ts'
import { UniformStream } from './random.ts'
import { replaceFile } from '../platform/atomic-file.ts'

/** Values made at a time: 256 kB, which stays in the processor's cache. */
const CHUNK_VALUES = 65_536
/** Bytes per write to the file. */
const BUFFER_BYTES = 1024 * 1024

export interface BuildOptions {
  /** A safe integer; the same seed gives the same bytes. @defaultValue 1 */
  seed?: number
  /** Called about once per megabyte written. */
  onProgress?: (writtenBytes: number, totalBytes: number) => void
}

/**
 * Writes the model. @returns the file's size in bytes.
 * @throws ScissionError badRequest if the file cannot be created at `path`.
 */
export async function writeModel(graph: ZooGraph, path: string, options: BuildOptions): Promise<number> {
  return replaceFile(path, async (partial) => {
    const file = await openNew(partial, path)
    try {
      return await writePieces(graph, file, options)
    } finally {
      await file.close()
    }
  })
}

async function openNew(partial: string, path: string): Promise<FileHandle> {
  try {
    return await open(partial, 'wx')
  } catch (error) {
    const { message } = coerceError(error)
    const hint = 'choose a folder that exists and may be written to'
    throw new ScissionError('badRequest', `cannot write ${path}: ${message}; ${hint}`, { path }, error)
  }
}

async function writePieces(
  graph: ZooGraph,
  file: FileHandle,
  { seed = 1, onProgress }: BuildOptions,
): Promise<number> {
  const { pieces, totalBytes } = layoutModel(graph)
  const sink = new FileSink(file, (written) => onProgress?.(written, totalBytes))
  const chunk = new Float32Array(CHUNK_VALUES)
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) await sink.write(piece)
    else await writeWeight(sink, piece, new UniformStream(`${seed}/${graph.name}/${piece.name}`), chunk)
  }
  await sink.flush()
  return totalBytes
}

async function writeWeight(sink: FileSink, weight: WeightSpec, stream: UniformStream, chunk: Float32Array) {
  const count = elements(weight.shape)
  for (let done = 0; done < count; done += chunk.length) {
    const values = chunk.subarray(0, Math.min(chunk.length, count - done))
    stream.drawInto(values, weight.low, weight.high)
    await sink.write(new Uint8Array(values.buffer, 0, values.byteLength))
  }
}

/** Gathers small pieces into large writes. */
class FileSink {
  readonly #file: FileHandle
  readonly #onFlush: (writtenBytes: number) => void
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #used = 0
  #written = 0

  constructor(file: FileHandle, onFlush: (writtenBytes: number) => void) {
    this.#file = file
    this.#onFlush = onFlush
  }

  /** The bytes are copied: the caller may reuse them. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; ) {
      if (this.#used === BUFFER_BYTES) await this.flush()
      const part = bytes.subarray(start, start + BUFFER_BYTES - this.#used)
      this.#buffer.set(part, this.#used)
      this.#used += part.length
      start += part.length
    }
  }

  async flush(): Promise<void> {
    await this.#file.writeFile(this.#buffer.subarray(0, this.#used))
    this.#written += this.#used
    this.#used = 0
    this.#onFlush(this.#written)
  }
}
