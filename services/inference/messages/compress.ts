/** Compression of whole answers, by the names of Content-Encoding. */
import { constants, deflateSync, gzipSync } from 'node:zlib'

export type Encoding = 'gzip' | 'deflate'

/** Float tensors hardly shrink: a higher level takes more time and saves nothing. */
const level = constants.Z_BEST_SPEED

/** Each takes the parts of one answer, and 25 ms for a megabyte of floats. */
export const compress: Record<Encoding, (parts: readonly Uint8Array[]) => Uint8Array> = {
  gzip: (parts) => gzipSync(Buffer.concat(parts), { level }),
  deflate: (parts) => deflateSync(Buffer.concat(parts), { level }),
}
