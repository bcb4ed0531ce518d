/** A store of layer ranges for each test, and the server that it fetches from. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { RangeStore } from '../../../services/inference/ranges/range-store.ts'
import { RangeServer, subModel } from './range-server.ts'

export const CHUNK = 4096

/** For all tests of the file in which it is called. */
export function useStore() {
  let folder = ''
  let server: RangeServer
  let store: RangeStore
  beforeEach(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-ranges-'))
    // 9 full chunks and one of 100 bytes.
    server = await new RangeServer(9 * CHUNK + 100, [
      { from: 0, to: 3, onnx: subModel('0-3'), chunks: [0, 1, 2, 5] },
      { from: 3, to: 7, onnx: subModel('3-7'), chunks: [2, 3, 4, 9] },
      { from: 4, to: 4, onnx: null, chunks: [] },
    ]).start()
    store = new RangeStore({ benchmarkUrl: server.url, folder })
  })
  afterEach(async () => {
    store.close()
    await server.stop()
    fs.rmSync(folder, { recursive: true })
  })
  const weightFile = () => path.join(folder, 'models', server.model, 'model.onnx')
  return {
    get folder() {
      return folder
    },
    get server() {
      return server
    },
    get store() {
      return store
    },
    /** Replaces the store by one with a short timeout, for tests of senders that fall silent. */
    hasty: (idleTimeoutMs: number): void => {
      store.close()
      store = new RangeStore({ benchmarkUrl: server.url, folder, idleTimeoutMs })
    },
    fileRequests: () => server.seen.filter((request) => request.path.includes('/files/')),
    weightFile,
    /** The bytes of a chunk as they are in the weight file. */
    here: (index: number) => {
      const start = index * CHUNK
      return fs.readFileSync(weightFile()).subarray(start, start + server.chunk(index).length)
    },
  }
}
