/** The tensor codecs of a Node process: those of shared/codec with the native Zstandard library behind them. */
import { createRequire } from 'node:module'
import type * as NodeZstd from '@toondepauw/node-zstd'
import { createTensorCodecs, type ZstdLibrary } from '../codec/index.ts'
import { ZSTD_LEVEL } from '../codec/zstandard.ts'

/** `require`, because the package may have no binary for this platform: importing it would end the process. */
function loadZstd(): ZstdLibrary {
  const { Encoder, Decoder } = createRequire(import.meta.url)('@toondepauw/node-zstd') as typeof NodeZstd
  const encoder = new Encoder(ZSTD_LEVEL)
  const decoder = new Decoder()
  return {
    compress: (bytes) => encoder.encodeSync(bufferOf(bytes)),
    decompress: (bytes) => decoder.decodeSync(bufferOf(bytes)),
  }
}

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const { availableCodecs, encodeTensor, decodeTensor } = createTensorCodecs(loadZstd)
