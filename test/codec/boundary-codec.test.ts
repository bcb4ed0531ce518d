import { afterAll, describe, expect, it } from 'vitest'
import {
  BoundaryCodec,
  type DecodedBoundary,
  type DeploymentHop,
} from '../../services/inference/forwarding/boundary-codec.ts'
import { BodyMemoryBudget } from '../../services/inference/messages/buffer-memory.ts'
import { type CodedTensor, codecOf } from '../../shared/codec/index.ts'
import { ELEMENT_BYTES, type Tensor } from '../../shared/contracts/tensor.ts'
import { encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { floatsOf, floatTensor } from './support.ts'

const wires = new Map([1, 3].map((slowdown) => [slowdown, new BoundaryCodec({ slowdown, maxBytes: 1e7 })]))
const wireOf = (slowdown: number) => wires.get(slowdown) ?? new BoundaryCodec({ slowdown, maxBytes: 1e7 })
const hop = (codec?: string): DeploymentHop => ({ resource: 'edge', from: 1, to: 2, ...(codec && { codec }) })
const map = (count: number) =>
  floatTensor(
    [1, 4, count / 4],
    Array.from({ length: count }, (_, index) => Math.max(0, Math.sin(index))),
  )

/** Decodes what a receiver takes that wants these very tensors. */
const decode = (codec: BoundaryCodec, tensors: readonly CodedTensor[], wanted: readonly Tensor[]) =>
  codec.decode(tensors, { takes: wanted }, async (arrived): Promise<DecodedBoundary> => arrived)

afterAll(() => Promise.all([...wires.values()].map((codec) => codec.close())))

describe.each([1, 3])('between two hops, on a machine emulated as %i times slower', (slowdown) => {
  const codec = wireOf(slowdown)

  it.each([400, 200_000])('%i elements go encoded and come back within half a step', async (count) => {
    const tensors = [map(count), { ...map(400), name: 'u' }]
    const sent = await codec.encode(tensors, hop('q8c-zstd'))
    expect(sent.tensors.map((tensor) => [tensor.name, codecOf(tensor)])).toEqual([
      ['t', 'q8c-zstd'],
      ['u', 'q8c-zstd'],
    ])
    expect(sent.encoded?.codec).toBe('q8c-zstd')
    expect(sent.wireBytes).toBe(sent.tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
    expect(sent.wireBytes).toBeLessThan((count * 4 + 1600) / 4)
    const arrived = await decode(codec, sent.tensors, tensors)
    expect(arrived.decodeMs).toBeGreaterThanOrEqual(0)
    for (const [index, tensor] of arrived.tensors.entries()) {
      expect(tensor.shape).toEqual(tensors[index]?.shape)
      const given = floatsOf(tensors[index] ?? map(4))
      const worst = floatsOf(tensor).reduce(
        (most, x, at) => Math.max(most, Math.abs(x - (given[at] ?? 9))),
        0,
      )
      expect(worst).toBeLessThan(0.5 / 255 + 1e-7)
    }
  })

  it('the tensors that were sent stay usable, for when the hop fails', async () => {
    const tensors = [map(200_000)]
    await codec.encode(tensors, hop('q4'))
    expect(Buffer.compare(tensors[0]?.bytes ?? map(4).bytes, map(200_000).bytes)).toBe(0)
  })

  it('a tensor that shares its buffer with others leaves them alone', async () => {
    const buffer = new Float32Array(300_000).fill(2)
    const part = { ...map(4), shape: [200_000], bytes: new Uint8Array(buffer.buffer, 4, 800_000) }
    const sent = await codec.encode([part], hop('q8'))
    expect(buffer[299_999]).toBe(2)
    const [back] = (await decode(codec, sent.tensors, [part])).tensors
    expect(floatsOf(back ?? map(4)).every((value) => value === 2)).toBe(true)
  })

  it('without a codec nothing is touched', async () => {
    const tensors = [map(400)]
    expect(await codec.encode(tensors, hop())).toEqual({ tensors, wireBytes: 1600 })
    const arrived = await decode(codec, tensors, tensors)
    expect(arrived.tensors[0]).toBe(tensors[0])
    expect(arrived.decodeMs).toBeUndefined()
  })

  it('what cannot be decoded is an error of the sender, large or small, and the next one is fine', async () => {
    for (const count of [400, 200_000]) {
      const { tensors } = await codec.encode([map(count)], hop('q8'))
      const [tensor] = tensors
      if (!tensor) throw new Error('nothing was sent')
      const unknown = { ...tensor, parameters: { ...tensor.parameters, scission_codec: 'q3' } }
      const copy = { ...tensor, bytes: new Uint8Array(tensor.bytes) }
      await expect(decode(codec, [unknown], [map(count)])).rejects.toMatchObject({ code: 'invalidTensor' })
      expect((await decode(codec, [copy], [map(count)])).tensors[0]?.bytes.byteLength).toBe(4 * count)
    }
  })
})

describe('a receiver of encoded tensors', () => {
  const zeros = (count: number): Tensor => floatTensor([1, count], new Float32Array(count))
  const packed = (count: number) => {
    const sent = encodeTensor(zeros(count), 'zstd')
    return { ...sent, bytes: new Uint8Array(sent.bytes) }
  }
  const wire = (maxBytes: number, memory?: BodyMemoryBudget) =>
    new BoundaryCodec({ slowdown: 1, maxBytes, ...(memory && { memory }) })

  it('decodes on its thread what is small and becomes large', async () => {
    const codec = wire(1e9)
    const tensor = packed(2_000_000)
    const bytes = tensor.bytes
    expect(bytes.byteLength).toBeLessThan(2000)
    const { tensors } = await decode(codec, [tensor], [zeros(2_000_000)])
    expect(tensors[0]?.bytes.byteLength).toBe(2_000_000 * ELEMENT_BYTES.FP32)
    // It went to the thread, and left this view empty.
    expect(bytes.byteLength).toBe(0)
    await codec.close()
  })

  it.each([
    ['another shape', { scission_shape: '[1,1001]' }, /has shape \[1,1001\], expected \[1,1000\]/],
    ['another datatype', { scission_datatype: 'INT32' }, /has datatype INT32, expected FP32/],
    ['a shape of terabytes', { scission_shape: '[1,1000000000000]' }, /has shape/],
    ['a shape beyond numbers', { scission_shape: '[999999999,999999999]' }, /too many elements/],
    ['a codec that is none', { scission_codec: 'q3' }, /"q3", which is no codec; codecs are zstd, fp16, q8/],
  ])('refuses %s before anything is decoded', async (_what, changes, message) => {
    const codec = wire(1e12)
    const sent = packed(1000)
    const lying = { ...sent, parameters: { ...sent.parameters, ...changes } }
    await expect(decode(codec, [lying], [zeros(1000)])).rejects.toMatchObject({
      code: 'invalidTensor',
      message: expect.stringMatching(message),
    })
    await codec.close()
  })

  it('takes a shape written with spaces, and "none" for a tensor as it is', async () => {
    const codec = wire(1e6)
    const sent = packed(1000)
    const spaced = { ...sent, parameters: { ...sent.parameters, scission_shape: '[1, 1000]' } }
    const plain = { ...zeros(1000), name: 'u', parameters: { scission_codec: 'none' } }
    const { tensors } = await decode(codec, [spaced, plain], [zeros(1000), { ...zeros(1000), name: 'u' }])
    expect(tensors.map(({ shape, datatype }) => ({ shape, datatype }))).toEqual([
      { shape: [1, 1000], datatype: 'FP32' },
      { shape: [1, 1000], datatype: 'FP32' },
    ])
    await codec.close()
  })

  it('decodes no more for a request than a body may have, all tensors together', async () => {
    const codec = wire(7000)
    const two = [packed(1000), { ...packed(1000), name: 'u' }]
    const wanted = [zeros(1000), { ...zeros(1000), name: 'u' }]
    await expect(decode(codec, two, wanted)).rejects.toMatchObject({
      code: 'payloadTooLarge',
      message: expect.stringContaining('would decode to 8000 bytes, the limit is 7000'),
    })
    expect((await decode(codec, two.slice(1), wanted)).tensors).toHaveLength(1)
    await codec.close()
  })

  it('counts what it decoded in the memory of bodies until it was used', async () => {
    const memory = new BodyMemoryBudget(10_000)
    const codec = wire(1e6, memory)
    let used = () => {}
    const using = new Promise<void>((resolve) => {
      used = resolve
    })
    const first = codec.decode([packed(2000)], { takes: [zeros(2000)] }, () => using)
    await expect(decode(codec, [packed(2000)], [zeros(2000)])).rejects.toMatchObject({ code: 'overloaded' })
    used()
    await first
    expect((await decode(codec, [packed(2000)], [zeros(2000)])).tensors).toHaveLength(1)
    const broken = { ...packed(2000), bytes: new Uint8Array(3) }
    for (let again = 0; again < 3; again += 1)
      await expect(decode(codec, [broken], [zeros(2000)])).rejects.toMatchObject({ code: 'invalidTensor' })
    expect((await decode(codec, [packed(2000)], [zeros(2000)])).tensors).toHaveLength(1)
    await codec.close()
  })

  it('refuses an empty tensor that says it was encoded', async () => {
    const codec = wire(1e6)
    const empty = { ...packed(1000), shape: [0], bytes: new Uint8Array(0) }
    await expect(decode(codec, [empty], [zeros(1000)])).rejects.toMatchObject({ code: 'invalidTensor' })
    await codec.close()
  })
})
