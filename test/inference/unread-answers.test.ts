/** Clients that ask for large answers and do not read them. */
import { afterEach, describe, expect, it } from 'vitest'
import { singleLayerModel, toySpec } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'
import { postJson } from './support/service.ts'
import { closeRawSockets, rawSocket } from '../support/raw-socket.ts'

const WAIT = { timeout: 20_000, interval: 50 }
const LARGE_BYTES = 32 * 1024 * 1024
const ONE = toySpec('x', 'FP32', [1])

const toy = withToyService(
  [
    singleLayerModel('a', 'large', ONE, () => ({
      datatype: 'FP32',
      shape: [LARGE_BYTES / 4],
      bytes: new Uint8Array(LARGE_BYTES),
    })),
    singleLayerModel('b', 'small', ONE, (x) => x),
  ],
  { SCISSION_ANSWER_MEMORY_BYTES: String(LARGE_BYTES + 1_000_000) },
)
afterEach(closeRawSockets)

const INPUT = { inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }] }
function request(): string {
  const body = JSON.stringify({ ...INPUT, parameters: { binary_data_output: true } })
  return `POST /v2/models/large/infer HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}
const infer = (model: string) => postJson(`${toy.service.url}/v2/models/${model}/infer`, INPUT)

describe('answers that nobody reads', () => {
  it('are bounded in memory: a further one is refused, until theirs give way; others are served all the time', async () => {
    const { url } = toy.service
    const unread = await rawSocket(url, request(), false)
    expect((await infer('small')).status).toBe(200)
    // Told by the bytes that the system has taken: now and then one more asks.
    const statuses = new Set<number>()
    const next = async () => {
      const { heard } = await rawSocket(url, request())
      await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 \d+/)
      const status = Number(heard().slice(9, 12))
      if (status === 503) expect(heard()).toMatch(/Retry-After: 1.*SCISSION_ANSWER_MEMORY_BYTES/s)
      statuses.add(status)
      return status
    }
    await expect.poll(next, { ...WAIT, interval: 300 }).toBe(200)
    expect(statuses).toEqual(new Set([503, 200]))
    unread.socket.resume()
    await expect.poll(unread.isClosed, WAIT).toBe(true)
    expect(unread.bytes()).toBeLessThan(LARGE_BYTES)
    expect((await infer('small')).status).toBe(200)
  })
})
