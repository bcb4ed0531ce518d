/** As much of the platform's WebAssembly as is used here: Node's types leave it to the browser's. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer
}

interface Platform {
  validate: (bytes: Uint8Array<ArrayBuffer>) => boolean
  Memory: new (size: { initial: number; maximum: number }) => WasmMemory
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  Instance: new (module: object, imports: { env: { memory: WasmMemory } }) => { exports: unknown }
}

export const WASM = Reflect.get(globalThis, 'WebAssembly') as Platform
