/** Answers that are sent compressed: whole again at the client, and one client's do not hold up another's. */
import os from 'node:os'
import { gunzipSync, inflateSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { Messages } from '../../services/inference/messages/message-codec.ts'
import { BELOW_SERVING } from '../../shared/platform/processes/priority.ts'
import { threadPriorities } from '../support/thread-priorities.ts'
import { call, outputsOf } from './support/service.ts'
import { singleLayerModel, toySpec } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'

const COUNT = 100_000
const photo = singleLayerModel('a', 'photo', toySpec('x', 'FP32', [-1]), (x) => x)
const unpack = { gzip: gunzipSync, deflate: inflateSync }

describe('an answer', () => {
  const toy = withToyService([photo])
  const ask = (count: number, isBinary: boolean, encoding: string) => {
    const data = Array.from({ length: count }, (_, index) => (index % 1000) / 8)
    const request = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [count], data }],
      parameters: { binary_data_output: isBinary },
    }
    return call('POST', `${toy.service.url}/v2/models/photo/infer`, JSON.stringify(request), {
      'Content-Type': 'application/json',
      'Accept-Encoding': encoding,
    })
  }

  it.each(
    (['gzip', 'deflate'] as const).flatMap((encoding) =>
      [5, COUNT].flatMap((count) => [true, false].map((isBinary) => ({ encoding, count, isBinary }))),
    ),
  )('of $count numbers, binary $isBinary, comes back from $encoding as without', async (one) => {
    const plain = await ask(one.count, one.isBinary, 'identity')
    const packed = await ask(one.count, one.isBinary, one.encoding)
    expect([plain.status, plain.headers['content-encoding']]).toEqual([200, undefined])
    expect([packed.status, packed.headers['content-encoding']]).toEqual([200, one.encoding])
    expect(Number(packed.headers['content-length'])).toBe(packed.body.length)
    const whole = unpack[one.encoding](packed.body)
    const { 'inference-header-content-length': length } = packed.headers
    const jsonBytes = length === undefined ? whole.length : Number(length)
    const tensors = whole.subarray(jsonBytes)
    if (one.isBinary) expect(tensors.equals(plain.body.subarray(-4 * one.count))).toBe(true)
    else expect(outputsOf(JSON.parse(whole.toString()))).toEqual(outputsOf(plain.json))
  })
})

describe('compressing', () => {
  const messages = new Messages()
  afterAll(() => messages.close())
  /** Its memory moves to the thread. */
  const bytes = () => [new Uint8Array(4 * 1024 * 1024).map((_, index) => (index * index) % 251)]

  it("begins another client's answer before those that one client has waiting", async () => {
    const done: string[] = []
    const pack = async (client: string) => {
      await messages.pack(bytes(), 'gzip', { client })
      done.push(client)
    }
    // Both threads have started.
    await Promise.all([pack('one'), pack('many')])
    done.length = 0
    await Promise.all([...Array.from({ length: 8 }, () => pack('many')), pack('one')])
    expect(done.indexOf('one')).toBeLessThan(8)
  })

  it.skipIf(process.platform !== 'linux')('leaves a core to those who ask for little', async () => {
    await messages.pack(bytes(), 'gzip', { client: 'one' })
    const low = Math.max(BELOW_SERVING, os.getPriority())
    expect(threadPriorities()).toContain(low)
    expect(os.getPriority()).toBeLessThanOrEqual(low)
  })

  it('is not begun for a client that has left', async () => {
    const gone = AbortSignal.abort()
    await expect(messages.pack(bytes(), 'gzip', { client: 'gone', gone })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })
})
