/**
 * How often the bytes of a tensor are copied in this process: from the socket into a buffer of its own, and by ONNX
 * Runtime into the output. Every way in which JavaScript copies bytes is counted while a request passes; what is moved
 * between threads is not copied, and leaves an empty buffer behind.
 */
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Executor, type LoadedStage } from '../../../services/inference/serving/executor/executor.ts'
import { type InferBody, readBody } from '../../../services/inference/messages/body.ts'
import { Caller } from '../../../services/inference/http/call.ts'
import { AnswerMemory } from '../../../services/inference/messages/answer-memory.ts'
import { Messages, sendMessage } from '../../../services/inference/messages/message-codec.ts'
import { createApp } from '../../../shared/platform/http-server/app.ts'
import { route } from '../../../shared/platform/http-server/route.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { messageHeaders } from '../../../shared/oip/binary-message.ts'
import { parseInferRequest, writeInferRequest } from '../../../shared/oip/request-message.ts'
import { parseInferResponse, writeInferResponse } from '../../../shared/oip/response-message.ts'
import { floats, manifestOf, spec, type TinyModel, writeModel } from '../tiny-models.ts'

const ELEMENTS = 250_000
const BYTES = 4 * ELEMENTS
const model: TinyModel = {
  inputs: [spec('x', 'FP32', [ELEMENTS])],
  outputs: [spec('y', 'FP32', [ELEMENTS])],
  nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
}

/** Counts bytes that JavaScript copies, in pieces worth counting, until `stop`. */
function countCopies() {
  const MIN_BYTES = 1024
  let bytes = 0
  const undo: (() => void)[] = []
  const watch = (owner: object, name: string, sizeOf: (self: unknown, args: unknown[]) => number) => {
    const original = Reflect.get(owner, name) as (...args: unknown[]) => unknown
    const counted = function counted(this: unknown, ...args: unknown[]): unknown {
      const size = sizeOf(this, args)
      if (size >= MIN_BYTES) bytes += size
      return original.apply(this, args)
    }
    Reflect.set(owner, name, counted)
    undo.push(() => Reflect.set(owner, name, original))
  }
  const lengthOf = (value: unknown) => (ArrayBuffer.isView(value) ? value.byteLength : 0)
  const typed = Object.getPrototypeOf(Uint8Array.prototype) as object
  watch(typed, 'set', (_self, [source]) => lengthOf(source))
  watch(typed, 'slice', (self) => lengthOf(self))
  watch(Buffer, 'concat', (_self, [list]) => (list as Uint8Array[]).reduce((sum, one) => sum + one.length, 0))
  watch(Buffer.prototype, 'copy', (self) => lengthOf(self))
  watch(ArrayBuffer.prototype, 'slice', (self) => (self as ArrayBuffer).byteLength)
  return {
    stop: () => {
      for (const restore of undo) restore()
      return bytes
    },
  }
}

let folder: string
let executor: Executor
let stage: LoadedStage
let server: http.Server
let url: string
const messages = new Messages()
const caller = new Caller()
/** The buffer that held the last request's tensor. */
let arrived: InferBody | undefined

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-copies-'))
  const file = path.join(folder, 'model.onnx')
  writeModel(file, model)
  executor = new Executor({ executors: 1, queueLimit: 4 })
  const options = { threads: 1, optimisation: 'all' } as const
  stage = await executor.load(file, { path: file, manifest: manifestOf(model), options })
  const infer = route({
    method: 'post',
    path: '/infer',
    id: 'infer',
    access: 'anyone',
    summary: 'as the service does it',
    answers: { 200: { description: 'the output' } },
    handle: async (_input, req, res) => {
      arrived = await readBody(req, { maxBytes: 10 * BYTES, idleMs: 5000 })
      const { inputs } = parseInferRequest(arrived.json, arrived.tensors, 'm')
      const { outputs } = await executor.run(stage, inputs)
      const binary = outputs.map((tensor) => ({ tensor, binary: true }))
      await sendMessage(req, res, writeInferResponse({ modelName: 'm', outputs: binary }), {
        memory: new AnswerMemory(Infinity),
        messages,
        asker: { client: 'somebody' },
      })
    },
  })
  const parts = { name: 'copies', log: createLog('test', 'silent'), routes: [infer] }
  server = http.createServer(createApp({ ...parts, facts: () => ({}), ready: () => Promise.resolve() }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/infer`
})
afterAll(async () => {
  caller.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await executor.close()
  await messages.close()
  fs.rmSync(folder, { recursive: true })
})

async function request() {
  const bytes = new Uint8Array(new Float32Array(ELEMENTS).fill(1.5).buffer)
  const message = writeInferRequest({
    parameters: { binary_data_output: true },
    inputs: [{ name: 'x', datatype: 'FP32', shape: [ELEMENTS], bytes }],
  })
  const call = {
    method: 'POST' as const,
    url,
    headers: messageHeaders(message),
    body: [message.json, ...message.binary],
    timeoutMs: 5000,
    maxBytes: 10 * BYTES,
  }
  const counting = countCopies()
  const answer = await caller.send(call).finally(() => undefined)
  const copied = counting.stop()
  return { copied, outputs: parseInferResponse(answer.json, answer.tensors).outputs }
}

describe('a tensor of a megabyte', () => {
  it('is copied once on its way in, and not by us on its way out', async () => {
    for (let round = 0; round < 3; round += 1) {
      const { copied, outputs } = await request()
      expect(floats(outputs[0]).every((value) => value === 3)).toBe(true)
      // Server and client are both this process: once into the server's buffer, once into the client's.
      expect(copied / (2 * BYTES)).toBeGreaterThan(0.9)
      expect(copied / (2 * BYTES)).toBeLessThanOrEqual(1.01)
    }
  })

  it('moves to the executor thread: its buffer is left empty', async () => {
    await request()
    expect(arrived?.tensors.byteLength).toBe(0)
  })
})
