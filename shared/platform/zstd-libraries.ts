/**
 * The Zstandard libraries of a Node process: Node's own from 22.15 on, which bounds output and window itself; the native package
 * `@toondepauw/node-zstd` before. shared/codec/zstandard-frame.ts checks what a frame declares before either sees it.
 */
import { createRequire } from 'node:module'
import zlib from 'node:zlib'
import type * as Package from '@toondepauw/node-zstd'
import { ZSTD_LEVEL, type ZstdLibrary } from '../codec/zstandard.ts'
import { MAX_WINDOW_LOG } from '../codec/zstandard-frame.ts'

interface ZstdOptions {
  params: Record<number, number>
  pledgedSrcSize?: number
  maxOutputLength?: number
  chunkSize?: number
}

/** What Node has from 22.15 on; its types are those of Node 20. */
interface NodeZstd {
  zstdCompressSync: (bytes: Uint8Array, options: ZstdOptions) => Uint8Array
  zstdDecompressSync: (bytes: Uint8Array, options: ZstdOptions) => Uint8Array
  constants: { ZSTD_c_compressionLevel: number; ZSTD_d_windowLogMax: number }
}

/** The least that zlib takes. */
const MIN_CHUNK_BYTES = 64

export const hasNodeZstd = 'zstdDecompressSync' in zlib

/** @throws Error before Node 22.15. */
export function nodeZstd(): ZstdLibrary {
  if (!hasNodeZstd) throw new Error(`Node ${process.version} has no Zstandard: it came with 22.15`)
  const { zstdCompressSync, zstdDecompressSync, constants } = zlib as unknown as NodeZstd
  const { ZSTD_c_compressionLevel: level, ZSTD_d_windowLogMax: windowLogMax } = constants
  return {
    compress: (bytes) =>
      zstdCompressSync(bytes, { params: { [level]: ZSTD_LEVEL }, pledgedSrcSize: bytes.byteLength }),
    decompress: (bytes, expectedBytes) => {
      // One chunk of the right size: the result is not put together of pieces.
      const size = Math.max(expectedBytes, MIN_CHUNK_BYTES)
      const params = { [windowLogMax]: MAX_WINDOW_LOG }
      return zstdDecompressSync(bytes, { params, maxOutputLength: size, chunkSize: size })
    },
  }
}

/**
 * `require`, because the package may have no binary for this platform: importing it would end the process.
 * @throws Error if it has none.
 */
export function packageZstd(): ZstdLibrary {
  const { Encoder, Decoder } = createRequire(import.meta.url)('@toondepauw/node-zstd') as typeof Package
  const encoder = new Encoder(ZSTD_LEVEL)
  const decoder = new Decoder()
  return {
    compress: (bytes) => encoder.encodeSync(bufferOf(bytes)),
    decompress: (bytes) => decoder.decodeSync(bufferOf(bytes)),
  }
}

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
