/** Uploads that take as long as they may, beside those of another client. */
import { readdir } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { DataType, encode, graph, ints, model, node, tensorOf, value } from '../onnx/support/build.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'

const redis = withTestRedis()
const folder = withFolder('fair')
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: folder(),
  SCISSION_ANALYSE_TIMEOUT_MS: '30000',
}))

/** A Loop of 10^15 turns: ONNX Runtime works at it until it is killed. */
function endless(name: string): Uint8Array {
  const body = graph({
    nodes: [node('Identity', ['on'], ['again']), node('Add', ['a', 'a'], ['b'])],
    inputs: [value('turn', [], DataType.INT64), value('on', [], DataType.BOOL), value('a', [1])],
    outputs: [value('again', [], DataType.BOOL), value('b', [1])],
  })
  return encode(
    model({
      nodes: [node('Loop', ['turns', 'go', 'x'], [name], { body })],
      inputs: [value('x', [1])],
      outputs: [value(name, [1])],
      constants: [ints('turns', [10 ** 15], []), tensorOf('go', [], DataType.BOOL, Uint8Array.of(1))],
    }),
  )
}
const short = encode(
  model({ nodes: [node('Relu', ['x'], ['y'])], inputs: [value('x', [1])], outputs: [value('y', [1])] }),
)

/** An upload of one client: Linux has the whole of 127.0.0.0/8. */
function upload(client: string, name: string, bytes: Uint8Array): Promise<{ status: number }> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', localAddress: client, agent: false }
    const request = http.request(`${benchmark().url}/v1/models?name=${name}`, options, (response) => {
      buffer(response).then(() => resolve({ status: response.statusCode ?? 0 }), reject)
    })
    request.on('error', reject)
    request.end(bytes)
  })
}

const isLinux = process.platform === 'linux'
if (!isLinux) process.stdout.write('skipped: a second client has an address of its own on Linux only\n')

describe.skipIf(!isLinux)('uploads of one client that take as long as they may', () => {
  it('hold up those of its own only', async () => {
    const order: string[] = []
    for (const at of [1, 2, 3, 4])
      upload('127.0.0.2', `long${at}`, endless(`y${at}`)).then(
        () => order.push('long'),
        // It ends with the service.
        () => undefined,
      )
    await expect.poll(() => readdir(path.join(folder(), 'incoming')), { timeout: 20_000 }).toHaveLength(4)
    const { status } = await upload('127.0.0.1', 'short', short)
    order.push('short')
    expect([status, order]).toEqual([201, ['short']])
  }, 60_000)
})
