/**
 * The memory that the kernels work in: tensors pass through it chunk by chunk, so it stays small and in the cache
 * whatever their size. One per thread; nothing in it survives a call.
 */
import { compileKernels, type Kernels } from './simd-kernels.ts'
import { plainKernels } from './plain-kernels.ts'
import { WASM } from './web-assembly.ts'

/** Elements per chunk. A multiple of 64: a chunk of 2-bit codes fills whole vectors. */
export const CHUNK = 16_384
/** What a kernel may read or write past the end of its area. */
const SLACK = 256

export const STATE = 0
export const FLOATS = 64
export const CODES = FLOATS + 4 * CHUNK + SLACK
/** Where packed codes are unpacked from, while FLOATS is not in use yet. */
export const PACKED = FLOATS
export const NIBBLES = FLOATS + CHUNK
const END = CODES + 2 * CHUNK + SLACK
const PAGE_BYTES = 65_536
const PAGES = Math.ceil(END / PAGE_BYTES)

export interface Workspace {
  kernels: Kernels
  bytes: Uint8Array
  floats: Float32Array
  words: Int32Array
  simd: boolean
}

let shared: Workspace | undefined

export function workspace(): Workspace {
  shared ??= openWorkspace()
  return shared
}

/** @param simd false for the plain loops, whatever the machine can do. */
export function openWorkspace(simd = true): Workspace {
  const memory = new WASM.Memory({ initial: PAGES, maximum: PAGES })
  const { buffer } = memory
  const fast = simd ? compileKernels(memory, PAGES) : undefined
  return {
    kernels: fast ?? plainKernels(buffer),
    bytes: new Uint8Array(buffer),
    floats: new Float32Array(buffer),
    words: new Int32Array(buffer),
    simd: fast !== undefined,
  }
}
