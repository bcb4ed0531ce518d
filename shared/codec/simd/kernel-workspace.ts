/**
 * The WebAssembly memory that the kernels work in. Tensors pass through it chunk by chunk, so that it stays in the
 * processor's cache whatever the size of the tensor. Each thread has one; nothing in it is kept between calls.
 */
import { plainKernels } from './plain-kernels.ts'
import { compileKernels, type Kernels } from './simd-kernels.ts'
import { WASM } from './wasm-assembler.ts'

/** A multiple of 64, so that a chunk of 2-bit codes fills whole vectors. */
export const CHUNK_ELEMENTS = 16_384
/** Number of bytes that a kernel may read or write past the end of its area. */
const SLACK_BYTES = 256

// Addresses of the areas, in bytes.
export const RANGE_STATE = 0
export const FLOATS = 64
export const CODES = FLOATS + 4 * CHUNK_ELEMENTS + SLACK_BYTES
/** Packed codes, before they are unpacked to CODES; FLOATS is not in use at that time. */
export const PACKED = FLOATS
/** 4-bit codes, halfway between 2-bit codes in PACKED and bytes in CODES. */
export const NIBBLES = FLOATS + CHUNK_ELEMENTS
const END = CODES + 2 * CHUNK_ELEMENTS + SLACK_BYTES
const PAGE_BYTES = 65_536
const PAGES = Math.ceil(END / PAGE_BYTES)

export interface Workspace {
  kernels: Kernels
  /** Three views of the same memory. */
  bytes: Uint8Array
  floats: Float32Array
  words: Int32Array
  /** False if the kernels are the plain loops. */
  simd: boolean
}

let shared: Workspace | undefined

/** The workspace of this thread. */
export function workspace(): Workspace {
  shared ??= openWorkspace()
  return shared
}

/** @param simd false selects the plain loops even if the machine has SIMD. */
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
